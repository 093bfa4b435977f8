from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_models import ENCODER, LABELS, ROWS, make_header
from support.tiny_training import disturb

from bids_film.domain.errors import ModelFileError, UsageError
from bids_film.domain.labels import LabelTable, Structure
from bids_film.metadata.catalogue import known_field
from bids_film.metadata.encoder import Encoder
from bids_film.model.checkpoint import save_checkpoint
from bids_film.model.config import Conditioning, NetworkConfig
from bids_film.model.header import ModelHeader
from bids_film.model.unet import FilmUNet, build_network
from bids_film.training.start import Start, copy_weights, fit_encoder, load_start

FIELDS = [known_field(name) for name in ROWS[0]]
OTHER_ENCODER = Encoder.fit([known_field("EchoTime")], [{"EchoTime": 0.01}, {"EchoTime": 0.1}])


@pytest.fixture(params=["affine", "sigmoid"])
def header(request: pytest.FixtureRequest) -> ModelHeader:
    return make_header(film_form=request.param)


@pytest.fixture
def model_file(tmp_path: Path, header: ModelHeader) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, header, disturb(build_network(header.network, ENCODER.spans)))
    return path


@pytest.fixture
def start(model_file: Path, header: ModelHeader) -> Start:
    return load_start(str(model_file), header.network)


def begin(start: Start, encoder: Encoder, labels: LabelTable = LABELS, **settings: Any) -> FilmUNet:
    torch.manual_seed(9)
    config = replace(start.network.config, out_channels=len(labels) + 1, **settings)
    network = build_network(config, encoder.spans)
    copy_weights(start, network, labels, encoder)
    return network.eval()


def run(network: FilmUNet, encoder: Encoder, values: Any) -> torch.Tensor:
    encoded = encoder.encode(values)
    image = torch.rand(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    vector, known = torch.from_numpy(encoded.vector)[None], torch.from_numpy(encoded.known)[None]
    with torch.inference_mode():
        result: torch.Tensor = network(image, vector, known)
    return result


def test_with_the_same_fields_and_structures_the_network_is_the_same(start: Start) -> None:
    encoder = fit_encoder(FIELDS, [{"MagneticFieldStrength": 7.0}], start)
    network = begin(start, encoder)
    for values in (*ROWS, {}):
        assert torch.equal(run(network, encoder, values), run(start.network, ENCODER, values))


def test_the_same_fields_keep_the_levels_and_ranges_that_the_weights_mean(start: Start) -> None:
    rows = [{"MagneticFieldStrength": 7.0, "Manufacturer": "GE"}]
    assert fit_encoder(FIELDS, rows, start) is start.header.encoder
    assert fit_encoder(FIELDS, rows, None).trained_on("Manufacturer") == "GE"


@pytest.mark.parametrize(("first", "second"), [("constant", "film"), ("film", "constant")])
def test_where_one_is_told_nothing_it_begins_as_the_start_does_without_metadata(
    tmp_path: Path, header: ModelHeader, first: Conditioning, second: Conditioning
) -> None:
    config = replace(header.network, conditioning=first)
    path = tmp_path / "first.safetensors"
    network = disturb(build_network(config, ENCODER.spans))
    save_checkpoint(path, replace(header, network=config), network)
    start = load_start(str(path), config)
    changed = begin(start, ENCODER, conditioning=second)
    expected = run(start.network, ENCODER, {})
    for values in (*ROWS, {}):
        torch.testing.assert_close(run(changed, ENCODER, values), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("values", [{}, {"EchoTime": 0.03}])
def test_with_other_fields_it_begins_as_the_start_does_without_metadata(
    start: Start, values: dict[str, float]
) -> None:
    encoder = fit_encoder(OTHER_ENCODER.fields, [{"EchoTime": 0.01}, {"EchoTime": 0.1}], start)
    network = begin(start, encoder)
    found = run(network, encoder, values)
    torch.testing.assert_close(found, run(start.network, ENCODER, {}), rtol=1e-4, atol=1e-4)


def test_a_wider_network_begins_with_what_the_start_has_learned(
    model_file: Path, header: ModelHeader
) -> None:
    narrow = load_start(str(model_file), header.network)
    wide = load_start(str(model_file), replace(header.network, channels=(6, 8)))
    found = run(begin(wide, ENCODER), ENCODER, ROWS[0])
    torch.testing.assert_close(found, run(narrow.network, ENCODER, ROWS[0]))


def test_structures_are_taken_over_by_their_names_in_any_order(start: Start) -> None:
    fresh = Structure(index=1, name="roots", abbreviation="R", color="#0000ff")
    cord, gray = LABELS.structures
    network = begin(start, ENCODER, LabelTable(structures=(gray, fresh, cord)))
    found, expected = run(network, ENCODER, ROWS[0]), run(start.network, ENCODER, ROWS[0])
    torch.testing.assert_close(found[:, [0, 3, 1]], expected)
    assert not any(torch.equal(found[:, 2], expected[:, number]) for number in range(3))


def test_what_is_begun_with_can_still_learn_from_metadata(start: Start) -> None:
    network = begin(start, OTHER_ENCODER).train()
    image, known = torch.rand(2, 1, 8, 8, 8), torch.ones(2, 1)
    network(image, torch.tensor([[-1.0, 1.0], [1.0, 1.0]]), known).square().sum().backward()
    assert network.generator is not None
    assert all(bool(head.weight.grad.abs().sum() > 0) for head in network.generator.heads)


@pytest.mark.parametrize(
    ("key", "value"),
    [("channels", (2, 8)), ("channels", (4, 8, 16)), ("dimensions", 2), ("norm", "instance")],
)
def test_a_start_of_another_build_is_refused(
    model_file: Path, header: ModelHeader, key: str, value: Any
) -> None:
    with pytest.raises(UsageError, match=f"start_from.*{key}"):
        load_start(str(model_file), replace(header.network, **{key: value}))


def test_an_unconditioned_network_cannot_begin_with_one_that_reads_metadata(
    model_file: Path, header: ModelHeader
) -> None:
    with pytest.raises(UsageError, match="reads metadata") as caught:
        load_start(str(model_file), replace(header.network, conditioning="unconditioned"))
    assert "constant" in str(caught.value.hint)


def test_a_start_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelFileError, match="nowhere"):
        load_start("nowhere", NetworkConfig())
