from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.bids_factory import make_affine
from support.tiny_models import ENCODER, make_header
from support.volumes import list_orders, make_grid, make_volume, store_otherwise, turn

from bids_film.domain.errors import ModelFileError, ScanError, UsageError
from bids_film.domain.labels import LabelTable, Structure
from bids_film.domain.volume import Volume
from bids_film.inference.engine import Engine, find_device, find_precision
from bids_film.inference.ensembling import Ensemble
from bids_film.model.checkpoint import save_checkpoint
from bids_film.model.config import Postprocessing, Preprocessing
from bids_film.model.header import ModelHeader
from bids_film.model.unet import FilmUNet, build_network

CPU = torch.device("cpu")
SIEMENS = ENCODER.encode({"MagneticFieldStrength": 1.5, "Manufacturer": "Siemens"})
PHILIPS = ENCODER.encode({"MagneticFieldStrength": 3.0, "Manufacturer": "Philips"})


def make_network(header: ModelHeader) -> FilmUNet:
    """Random weights that tell structures and metadata apart."""
    torch.manual_seed(3)
    network = build_network(header.network, header.encoder.spans)
    assert network.generator is not None
    with torch.no_grad():
        network.head.weight.mul_(4)
        for head in network.generator.heads:
            torch.nn.init.normal_(head.weight, std=0.5)
        # No channel is preferred on the whole, so that every structure is found somewhere.
        image = torch.rand(1, 1, *[16] * header.network.dimensions)
        vector, known = (torch.from_numpy(part)[None] for part in (SIEMENS.vector, SIEMENS.known))
        logits = network.eval()(image, vector, known)
        network.head.bias.sub_(logits.transpose(0, 1).flatten(1).mean(dim=1))
    return network


def make_engine(
    *,
    dimensions: int = 3,
    spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    plane: Any = "axial",
    precision: str = "fp32",
    postprocessing: Postprocessing | None = None,
) -> Engine:
    preprocessing = Preprocessing(
        spacing_mm=spacing_mm, plane=plane, patch=(16,) * dimensions, foreground="all"
    )
    header = make_header(dimensions=dimensions, preprocessing=preprocessing)
    header = replace(header, postprocessing=postprocessing or Postprocessing())
    return Engine(header, make_network(header), device=CPU, precision=precision)


def test_with_mirror_a_mirrored_scan_gets_the_mirrored_labels_of_the_other_side() -> None:
    sides = [
        Structure(index=index, name=name, abbreviation=name[0], color="#000000")
        for index, name in ((4, "Left-Half"), (9, "Right-Half"))
    ]
    plain = make_engine()
    header = replace(
        plain.header,
        labels=LabelTable(structures=tuple(sides)),
        postprocessing=Postprocessing(mirror=True),
    )
    engine = Engine(header, make_network(header), device=CPU, precision="fp32")
    volume = make_volume((12, 9, 8), np.eye(4))
    mirrored = replace(volume, data=volume.data[::-1].copy())
    one, other = (engine.predict(each, SIEMENS).labels for each in (volume, mirrored))
    exchanged = np.array([0, 0, 0, 0, 9, 0, 0, 0, 0, 4])[one][::-1]
    np.testing.assert_array_equal(other, exchanged)
    assert {4, 9} <= set(np.unique(one))
    # Which the network by itself does not.
    alone, back = (plain.predict(each, SIEMENS).labels for each in (volume, mirrored))
    assert (np.asarray(alone)[::-1] != back).any()


def test_mirror_holds_within_a_box_and_a_single_sagittal_slice_goes_without() -> None:
    header = replace(make_engine().header, postprocessing=Postprocessing(mirror=True))
    network = make_network(header)
    engine, plain = (
        Engine(replace(header, postprocessing=each), network, device=CPU, precision="fp32")
        for each in (header.postprocessing, Postprocessing())
    )
    prepared = engine.prepare(make_volume((12, 9, 8), np.eye(4)))
    mirrored = replace(prepared, image=prepared.image[:, ::-1])
    np.testing.assert_allclose(
        engine.compute(mirrored, SIEMENS)[:, ::-1], engine.compute(prepared, SIEMENS), atol=1e-5
    )
    within = engine.compute(prepared, SIEMENS, (slice(2, 10), slice(0, 9), slice(0, 8)))
    assert (within[0, :2] == 1).all()
    part = replace(prepared, image=prepared.image[:, 2:10])
    np.testing.assert_allclose(within[:, 2:10], engine.compute(part, SIEMENS), atol=1e-5)
    single = replace(prepared, image=prepared.image[:, :1])
    np.testing.assert_array_equal(engine.compute(single, SIEMENS), plain.compute(single, SIEMENS))


@pytest.mark.parametrize(
    ("dimensions", "spacing_mm", "plane"),
    [
        (3, (0.0, 0.0, 0.0), "axial"),
        (3, (1.4, 1.4, 1.4), "axial"),
        (2, (0.8, 0.8, 0.0), "thickest"),
        (2, (0.0, 0.0, 0.0), "sagittal"),
    ],
)
def test_a_copy_stored_in_any_order_gets_the_same_labels_at_the_same_places(
    dimensions: int, spacing_mm: tuple[float, float, float], plane: Any
) -> None:
    engine = make_engine(dimensions=dimensions, spacing_mm=spacing_mm, plane=plane)
    volume = make_volume((9, 8, 7), make_affine((1.0, 1.1, 2.0), oblique_deg=12))
    expected = engine.predict(volume, SIEMENS, probabilities=True)
    assert set(np.unique(expected.labels)) == {0, 3, 7}
    for order in list_orders():
        found = engine.predict(store_otherwise(volume, order), SIEMENS, probabilities=True)
        assert np.array_equal(found.labels, turn(expected.labels, order))
        assert found.probabilities is not None
        assert expected.probabilities is not None
        for one, other in zip(found.probabilities, expected.probabilities, strict=True):
            assert np.array_equal(one, turn(other, order))


def test_a_plane_of_slices_means_nothing_to_a_network_of_volumes() -> None:
    volume = make_volume((9, 8, 7), make_affine((1.0, 1.1, 2.0)))
    one, other = (
        make_engine(plane=plane, spacing_mm=(1.0, 1.0, 3.0)).prepare(volume)
        for plane in ("axial", "sagittal")
    )
    assert np.array_equal(one.image, other.image)


def test_dropout_that_was_not_trained_is_refused_when_the_model_is_loaded(tmp_path: Path) -> None:
    header = make_header()
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, header, make_network(header))
    with pytest.raises(UsageError, match="trained without dropout"):
        Engine.load(path, device="cpu", ensemble=Ensemble(kind="dropout", passes=2))


@pytest.mark.parametrize("spacing_mm", [(0.0, 0.0, 0.0), (1.6, 1.3, 0.7)])
def test_probabilities_are_those_of_the_labels(spacing_mm: tuple[float, float, float]) -> None:
    engine = make_engine(spacing_mm=spacing_mm)
    found = engine.predict(make_volume((10, 9, 8)), SIEMENS, probabilities=True)
    assert found.probabilities is not None
    stack = np.stack(found.probabilities)
    assert stack.shape == (2, 10, 9, 8)
    assert stack.dtype == np.float32
    assert stack.min() >= 0
    assert stack.sum(axis=0).max() <= 1 + 1e-5
    every = np.concatenate([1 - stack.sum(axis=0, keepdims=True), stack])
    best, second = np.sort(every, axis=0)[[-1, -2]]
    decisive = best - second > 1e-4
    assert decisive.mean() > 0.9
    winners = np.array([0, 3, 7])[every.argmax(axis=0)]
    assert np.array_equal(found.labels[decisive], winners[decisive])


def test_labels_are_uint16_in_memory_order_and_probabilities_only_where_asked_for() -> None:
    found = make_engine().predict(make_volume((6, 5, 4)), SIEMENS)
    assert found.labels.dtype == np.uint16
    assert found.labels.flags.c_contiguous
    assert found.probabilities is None
    assert (found.device, found.precision) == ("cpu", "fp32")


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_part_of_a_volume_is_segmented_at_its_place_and_nothing_beyond_it(
    dimensions: int,
) -> None:
    engine = lean(make_engine(dimensions=dimensions), [0, 9, 0])
    within = (slice(2, 8), slice(1, 9), slice(3, 5))
    labels = engine.predict(make_volume((10, 9, 8)), SIEMENS, within=within).labels
    inside = np.zeros(labels.shape, bool)
    inside[within] = True
    assert (labels[inside] == 3).all()
    assert not labels[~inside].any()


def test_uncertainty_lies_on_the_grid_of_the_volume_and_knows_every_structure() -> None:
    engine = make_engine()
    found = engine.predict(make_volume((10, 9, 8)), SIEMENS, uncertainty=True)
    assert found.entropy is not None
    assert found.entropy.shape == (10, 9, 8)
    assert set(found.confidence) == {"cord", "gray"}
    assert engine.predict(make_volume((10, 9, 8)), SIEMENS).entropy is None


def test_the_metadata_change_the_segmentation() -> None:
    engine, volume = make_engine(), make_volume((8, 8, 8))
    one, other = (engine.predict(volume, encoded).labels for encoded in (SIEMENS, PHILIPS))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("angle", [10.0, 44.0, 46.0, 80.0])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_an_oblique_scan_keeps_its_shape(angle: float, dimensions: int) -> None:
    engine = make_engine(dimensions=dimensions, spacing_mm=(1.2, 1.2, 0.0))
    volume = make_volume((10, 7, 5), make_affine((1.0, 1.0, 3.0), oblique_deg=angle))
    assert engine.predict(volume, SIEMENS).labels.shape == (10, 7, 5)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_is_segmented_whatever_its_axis(axis: int, dimensions: int) -> None:
    shape = [11, 11, 11]
    shape[axis] = 1
    engine = make_engine(dimensions=dimensions, plane="thickest")
    assert engine.predict(make_volume(shape), SIEMENS).labels.shape == tuple(shape)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_bfloat16_runs_and_is_near_float32(dimensions: int) -> None:
    volume = make_volume((9, 8, 7))
    exact, rounded = (
        make_engine(dimensions=dimensions, precision=precision).predict(
            volume, SIEMENS, probabilities=True
        )
        for precision in ("fp32", "bf16")
    )
    assert rounded.precision == "bf16"
    assert exact.probabilities is not None
    assert rounded.probabilities is not None
    difference = np.abs(np.stack(exact.probabilities) - np.stack(rounded.probabilities))
    assert 0 < difference.mean() < 0.02
    assert rounded.probabilities[0].dtype == np.float32


def lean(engine: Engine, biases: list[float]) -> Engine:
    """Make a network prefer some channels, whatever it sees."""
    with torch.no_grad():
        engine._network.head.weight.zero_()
        engine._network.head.bias.copy_(torch.tensor(biases))
    return engine


def test_an_empty_segmentation_is_noted() -> None:
    found = lean(make_engine(), [9, 0, 0]).predict(make_volume((6, 6, 6)), SIEMENS)
    assert not found.labels.any()
    assert found.notes == ("the segmentation is empty: no structure was found",)


def test_structures_that_were_not_found_are_noted_by_name() -> None:
    found = lean(make_engine(), [0, 9, 0]).predict(make_volume((6, 6, 6)), SIEMENS)
    assert set(np.unique(found.labels)) == {3}
    assert found.notes == ("not found: gray",)


def test_postprocessing_is_part_of_the_model() -> None:
    volume = make_volume((9, 9, 9), smooth=False)
    engines = [
        make_engine(postprocessing=settings)
        for settings in (Postprocessing(), Postprocessing(keep_largest=("gray",)))
    ]
    for engine in engines:
        with torch.no_grad():
            engine._network.head.bias[2] -= 2  # gray becomes rare, and falls into pieces
    plain, kept = (engine.predict(volume, SIEMENS).labels for engine in engines)
    assert 0 < (kept == 7).sum() < (plain == 7).sum()
    assert np.array_equal(kept[kept > 0], plain[kept > 0])


def test_a_blank_scan_is_refused() -> None:
    blank = Volume(data=np.full((5, 5, 5), 3, np.float32), grid=make_grid((5, 5, 5), np.eye(4)))
    with pytest.raises(ScanError, match="expected an image with contrast"):
        make_engine().predict(blank, SIEMENS)


def test_a_loaded_engine_segments_as_the_one_that_was_saved(tmp_path: Path) -> None:
    header = make_header()
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, header, make_network(header))
    volume = make_volume((8, 7, 6))
    loaded = Engine.load(path, device="cpu", precision="auto", threads=1)
    assert torch.get_num_threads() == 1
    assert loaded.precision == "fp32"
    assert not loaded._network.training
    assert np.array_equal(
        loaded.predict(volume, SIEMENS).labels, make_engine().predict(volume, SIEMENS).labels
    )


def test_loading_what_is_not_a_model_is_an_error_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"x" * 20)
    with pytest.raises(ModelFileError):
        Engine.load(path, device="cpu")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x", "mps", "meta", "xpu", "CPU0"])
def test_a_device_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected auto, cpu, cuda or cuda:N"):
        find_device(name)


def test_a_cuda_device_that_is_not_there_says_how_many_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert find_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(UsageError, match="cuda:1: this machine has 1 CUDA devices") as caught:
        find_device("cuda:1")
    assert "--device cpu" in caught.value.hint
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="has 0 CUDA devices"):
        find_device("cuda")


def test_auto_takes_cuda_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("agreement", [0.0, 0.9989, 0.9991, 1.0])
@pytest.mark.parametrize("accelerated", [True, False])
@pytest.mark.parametrize("device", [CPU, torch.device("cuda")])
def test_bfloat16_is_taken_where_it_is_fast_and_the_labels_are_known_to_stay(
    monkeypatch: pytest.MonkeyPatch, *, agreement: float, accelerated: bool, device: torch.device
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: accelerated)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": accelerated})
    header = replace(make_header(), bfloat16_dice=agreement)
    expected = "bf16" if accelerated and agreement > 0.999 else "fp32"
    assert find_precision("auto", device, header) == expected
    assert find_precision("bf16", device, header) == "bf16"
    assert find_precision("fp32", device, header) == "fp32"
