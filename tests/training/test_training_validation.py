from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_models import ENCODER, LABELS, make_header
from support.tiny_training import make_example
from torch import Tensor

from bids_film.domain.errors import InputError
from bids_film.model.config import NetworkConfig, Preprocessing
from bids_film.model.unet import FilmUNet, build_network
from bids_film.training.validation import Case, check_cases, make_case, validate_cases

KNOWN = {"MagneticFieldStrength": 3.0, "Manufacturer": "Philips"}


class Reader(FilmUNet):
    """Finds the channel that the image's values say; at 1.5 T one channel less."""

    def __init__(self, dimensions: int) -> None:
        super().__init__(
            NetworkConfig(dimensions=dimensions, channels=(4, 8), out_channels=3), ENCODER.spans
        )
        self.shapes: list[tuple[int, ...]] = []

    def modulations(self, vector: Tensor, known: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [(vector[:, :1], known)]

    def segment(self, image: Tensor, modulations: Any) -> Tensor:
        self.shapes.append(tuple(image.shape))
        ((field, _),) = modulations
        assert len(field) == len(image)
        lower = (field < 0).float().view(-1, *[1] * (image.dim() - 1))
        channels = torch.arange(3).view(1, 3, *[1] * (image.dim() - 2))
        return -10 * (image - lower - channels).abs()


def make_case_of(
    found: list[int], truth: list[int], *, annotated: tuple[bool, bool] = (True, True), **more: Any
) -> Case:
    image = np.array(found, np.float32).reshape(1, -1, 1, 1)
    labels = np.array(truth, np.uint8).reshape(-1, 1, 1)
    return Case(image=image, labels=labels, annotated=annotated, values=more.get("values", KNOWN))


def validate(*cases: Case, network: FilmUNet | None = None) -> dict[str, float]:
    settings = Preprocessing(patch=(16, 16, 16))
    return validate_cases(network or Reader(3), cases, ENCODER, LABELS, settings)


def test_a_perfect_segmentation_has_dice_one() -> None:
    assert validate(make_case_of([0, 1, 2, 2], [0, 1, 2, 2])) == {"cord": 1.0, "gray": 1.0}


def test_a_structure_includes_its_parts() -> None:
    found = validate(make_case_of([0, 1, 1, 1], [0, 1, 2, 2]))
    assert found == {"cord": 1.0, "gray": 0.0}


def test_dice_is_twice_the_overlap_over_the_sum() -> None:
    found = validate(make_case_of([1, 1, 1, 0, 2], [1, 0, 0, 1, 2]))
    assert found == {"cord": pytest.approx(2 * 2 / (4 + 3)), "gray": 1.0}


def test_a_structure_that_was_not_annotated_does_not_count() -> None:
    partial = make_case_of([0, 2, 2], [0, 1, 1], annotated=(True, False))
    assert validate(partial) == {"cord": 1.0}
    assert validate(partial, make_case_of([2, 0], [1, 2])) == {
        "cord": pytest.approx((1 + 2 / 3) / 2),
        "gray": 0.0,
    }


def test_slices_that_were_not_annotated_do_not_count() -> None:
    labels = np.zeros((2, 2, 4), np.uint8)
    labels[:, 0, :2] = 1
    image = np.where(labels > 0, 1, 0)[None].astype(np.float32)
    image[..., 2:] = 1
    case = Case(
        image=image, labels=labels, annotated=(True, True), values=KNOWN, slices=np.arange(2)
    )
    assert validate(case) == {"cord": 1.0}
    check_cases([case], LABELS)


def test_a_scan_without_a_structure_counts_only_where_one_is_found() -> None:
    clean, wrong = make_case_of([1, 0], [1, 0]), make_case_of([2, 0], [1, 0])
    assert validate(clean) == {"cord": 1.0}
    assert validate(clean, wrong) == {"cord": 1.0, "gray": 0.0}


def test_each_scan_is_segmented_with_its_own_metadata() -> None:
    low = {"MagneticFieldStrength": 1.5, "Manufacturer": None}
    cases = [make_case_of([1, 2], [1, 2]), make_case_of([1, 2], [0, 1], values=low)]
    assert validate(*cases) == {"cord": 1.0, "gray": 1.0}


@pytest.mark.parametrize(
    ("dimensions", "shape"), [(2, (3, 1, 4, 6)), (3, (1, 1, 4, 6, 4))], ids=["2", "3"]
)
def test_it_is_computed_as_inference_computes_it(dimensions: int, shape: tuple[int, ...]) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (3, 5, 3)).astype(np.uint8)
    case = Case(
        image=labels[None].astype(np.float16), labels=labels, annotated=(True, True), values=KNOWN
    )
    network = Reader(dimensions)
    assert validate(case, network=network) == {"cord": 1.0, "gray": 1.0}
    assert network.shapes == [shape]


def test_a_real_network_is_validated_without_being_changed() -> None:
    header = make_header()
    network = build_network(header.network, ENCODER.spans).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    image = np.random.default_rng(0).random((1, 6, 6, 6), np.float32)
    case = Case(
        image=image, labels=(image[0] > 0.5).astype(np.uint8), annotated=(True, True), values={}
    )
    with torch.inference_mode():
        assert set(validate(case, network=network)) <= {"cord", "gray"}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_case_is_what_validation_needs_of_an_example() -> None:
    labels = np.array([[[0, 1]]], np.uint8)
    example = make_example("01", labels, labels, annotated=(True, False), values=KNOWN)
    case = make_case(example)
    assert case.annotated == (True, False)
    assert case.values == KNOWN
    assert case.image is example.image
    assert case.labels is example.labels


def test_scans_on_which_nothing_can_be_scored_are_refused() -> None:
    empty = make_case_of([0, 0], [0, 0])
    unannotated = make_case_of([1, 1], [1, 1], annotated=(False, True))
    for cases in ([], [empty], [empty, unannotated]):
        with pytest.raises(InputError, match="has a voxel of an annotated structure"):
            check_cases(cases, LABELS)
    check_cases([empty, make_case_of([0, 0], [0, 2])], LABELS)
