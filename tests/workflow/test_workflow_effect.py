from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from workflow_jobs import make_job
from workflow_models import make_header

from bids_film.derivatives.names import output_names
from bids_film.domain.volume import Grid, Volume
from bids_film.metadata.encoder import Encoded
from bids_film.workflow.effect import Effect, find_effect

SHAPE = (120, 120, 60)


@dataclass
class SketchEngine:
    """Draws a box that grows with the number of fields that are known; counts what it is asked."""

    shift_in_part: int = 0
    asked: int = 0
    header: SimpleNamespace = None

    def __post_init__(self) -> None:
        made = make_header()
        self.header = SimpleNamespace(
            encoder=made.encoder,
            labels=made.labels,
            network=made.network,
            preprocessing=made.preprocessing,
        )

    def predict(self, volume: Volume, encoded: Encoded, *, within: object = None) -> object:
        self.asked += 1
        size = 4 + int(encoded.known.sum())
        return SimpleNamespace(labels=draw(size, shift=self.shift_in_part if within else 0))


def draw(size: int, *, shift: int = 0) -> NDArray[np.uint16]:
    labels = np.zeros(SHAPE, np.uint16)
    labels[50 + shift : 60 + shift, 50:60, 30 - size : 30 + size] = 1
    return labels


def tell(engine: SketchEngine, tmp_path: Path, effect: str = "all") -> Effect:
    affine = np.eye(4)
    grid = Grid(
        shape=SHAPE,
        stored_shape=SHAPE,
        affine=affine,
        qform=affine,
        sform=affine,
        qform_code=1,
        sform_code=1,
    )
    job = replace(make_job(tmp_path / "in", tmp_path / "out"), metadata_effect=effect)
    volume = Volume(data=np.zeros(SHAPE, np.float32), grid=grid)
    names = output_names(job.scan, "brain", job.output_dir)
    return find_effect(job, engine, volume, draw(5), names)


def test_every_alternative_is_described_and_its_map_is_there(tmp_path: Path) -> None:
    engine = SketchEngine()
    found = tell(engine, tmp_path)
    assert [(a.field, a.value) for a in found.alternatives] == [
        ("", ""),
        ("Manufacturer", "Siemens"),
        ("Manufacturer", "Philips"),
    ]
    for alternative in found.alternatives:
        labels = found.maps[tmp_path / "out" / alternative.labels_file]
        cord = alternative.changes[0]
        assert cord.volume_ml == pytest.approx((labels > 0).sum() / 1000)
    withheld = found.alternatives[0].changes[0]
    assert withheld.dice == pytest.approx(2 * 8 / 18, abs=1e-5)


def test_a_small_structure_is_compared_with_itself_in_the_same_surroundings(
    tmp_path: Path,
) -> None:
    engine = SketchEngine()
    found = tell(engine, tmp_path)
    assert engine.asked == len(found.alternatives) + 1
    own = found.maps[tmp_path / "out" / found.compared_file]
    np.testing.assert_array_equal(own, draw(5))


def test_where_the_surroundings_alone_give_something_else_the_whole_image_is_taken(
    tmp_path: Path,
) -> None:
    found = tell(SketchEngine(shift_in_part=5), tmp_path)
    assert found.compared_file == ""
    assert found.alternatives[0].changes[0].dice == pytest.approx(2 * 8 / 18, abs=1e-5)


@pytest.mark.parametrize(("effect", "count"), [("all", 3), ("withheld", 1), ("none", 0)])
def test_the_option_says_how_many_are_tried(tmp_path: Path, effect: str, count: int) -> None:
    assert len(tell(SketchEngine(), tmp_path, effect).alternatives) == count


@pytest.mark.parametrize("conditioning", ["constant", "unconditioned"])
def test_a_model_that_reads_no_metadata_is_not_asked(tmp_path: Path, conditioning: str) -> None:
    engine = SketchEngine()
    engine.header.network = replace(engine.header.network, conditioning=conditioning)
    assert tell(engine, tmp_path).alternatives == ()
    assert engine.asked == 0
