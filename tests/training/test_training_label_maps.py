from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bids_film.domain.errors import ScanError
from bids_film.domain.scan import Scan
from bids_film.domain.volume import Grid, Volume
from bids_film.metadata.encoder import Encoder
from bids_film.training.label_maps import (
    LabelMap,
    draw_values,
    load_label_map,
    make_synthesis_sampler,
)
from bids_film.training.recipe import Recipe, recipe_from_dict

SHAPE = (44, 48, 40)


def make_recipe(conditioning: str = "film") -> Recipe:
    return recipe_from_dict(
        {
            "model": {"name": "brain"},
            "structures": [
                {"index": 1, "name": "white", "abbreviation": "WM", "source_labels": [2, 41]},
                {"index": 2, "name": "gray", "abbreviation": "GM", "source_labels": [3, 42]},
            ],
            "metadata": {"fields": ["SkullStripped", "InPlaneVoxelSize", "SliceSpacing"]},
            "preprocessing": {"spacing_mm": [4.0, 4.0, 4.0], "patch": [32, 32, 32]},
            "network": {"channels": [4, 8], "conditioning": conditioning},
            "synthesis": {},
            "training": {"batch_size": 2},
        }
    )


def make_head() -> np.ndarray:
    """Shells of skin, cerebrospinal fluid, cortex and white matter; left and right differ."""
    axes = [np.linspace(-1.1, 1.1, size) for size in SHAPE]
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))
    right = (np.arange(SHAPE[0]) >= SHAPE[0] // 2)[:, None, None]
    head = np.zeros(SHAPE, np.int32)
    head[distance < 1] = 507
    head[distance < 0.8] = 24
    head[(distance < 0.7)] = 3
    head[(distance < 0.5)] = 2
    return np.where(right & np.isin(head, (2, 3)), head + 39, head)


def make_volume(data: np.ndarray, spacing_mm: tuple[float, float, float]) -> Volume:
    affine = np.diag([*spacing_mm, 1.0])
    grid = Grid(
        shape=SHAPE,
        stored_shape=SHAPE,
        affine=affine,
        qform=affine,
        sform=affine,
        qform_code=1,
        sform_code=1,
    )
    return Volume(data=data, grid=grid)


def make_scan(root: Path) -> Scan:
    path = root / "sub-01" / "anat" / "sub-01_dseg.nii.gz"
    return Scan(
        path=path, dataset_root=root, entities={"sub": "01"}, suffix="dseg", datatype="anat"
    )


@pytest.fixture
def label_map(tmp_path: Path) -> LabelMap:
    volume = make_volume(make_head(), (3.0, 3.0, 3.0))

    def read(path: Path, *, labels: bool = False) -> Volume:
        assert labels
        return volume

    return load_label_map(make_scan(tmp_path), brain_below=500, read=read)


def test_a_synthetic_patch_has_the_promised_shapes(label_map: LabelMap) -> None:
    recipe = make_recipe()
    encoder = Encoder.fit(recipe.metadata_fields, draw_values([label_map], recipe, count=20))
    sampler = make_synthesis_sampler([label_map], recipe, encoder)
    patch = sampler.draw(np.random.default_rng(0))
    assert patch.image.shape == (1, 32, 32, 32)
    assert patch.labels.shape == (32, 32, 32)
    assert set(patch.labels.unique().tolist()) == {0, 1, 2}
    assert patch.annotated.all()
    assert patch.annotated.shape == (2,)
    assert patch.vector.shape == (encoder.width,)


def test_the_same_chance_gives_the_same_patch(label_map: LabelMap) -> None:
    recipe = make_recipe()
    encoder = Encoder.fit(recipe.metadata_fields, draw_values([label_map], recipe, count=20))
    sampler = make_synthesis_sampler([label_map], recipe, encoder)
    one, other = (sampler.draw(np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.labels, other.labels)
    assert torch.equal(one.vector, other.vector)


def test_the_shuffled_control_sees_the_same_images_with_other_metadata(
    label_map: LabelMap,
) -> None:
    recipe, control = make_recipe(), make_recipe("shuffled")
    encoder = Encoder.fit(recipe.metadata_fields, draw_values([label_map], recipe, count=20))
    rngs = (np.random.default_rng(5) for _ in range(2))
    one, other = (
        make_synthesis_sampler([label_map], chosen, encoder).draw(rng)
        for chosen, rng in zip((recipe, control), rngs, strict=True)
    )
    assert torch.equal(one.image, other.image)
    assert not torch.equal(one.vector, other.vector)


def test_metadata_vary_as_widely_as_the_scans_do(label_map: LabelMap) -> None:
    rows = draw_values([label_map], make_recipe(), count=40)
    assert {row["SkullStripped"] for row in rows} == {"true", "false"}
    assert len({row["SliceSpacing"] for row in rows}) > 30


@pytest.mark.parametrize(
    ("data", "spacing_mm", "named"),
    [
        (make_head(), (3.0, 3.0, 5.0), "voxels of equal sides"),
        (
            np.zeros(SHAPE, np.int32),
            (3.0, 3.0, 3.0),
            "values of a brain, from 1 to 499, got \\[0\\]",
        ),
        (make_head() % 2 * 24, (3.0, 3.0, 3.0), "values of a brain"),
        (make_head() + 500, (3.0, 3.0, 3.0), "values of a brain"),
        (make_head() + 65536, (3.0, 3.0, 3.0), "labels from 0 to 32767"),
    ],
)
def test_label_maps_that_cannot_be_drawn_from_are_refused(
    tmp_path: Path, data: np.ndarray, spacing_mm: tuple[float, float, float], named: str
) -> None:
    def read(path: Path, *, labels: bool = False) -> Volume:
        return make_volume(data, spacing_mm)

    with pytest.raises(ScanError, match=named):
        load_label_map(make_scan(tmp_path), brain_below=500, read=read)
