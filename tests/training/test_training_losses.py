from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from bids_film.domain.labels import LabelTable, Structure
from bids_film.training.losses import SegmentationLoss, find_parents, soft_dice

CORD = LabelTable(
    structures=(
        Structure(index=1, name="spinal cord", abbreviation="SC", color="#ff0000"),
        Structure(
            index=2, name="gray matter", abbreviation="GM", color="#00ff00", part_of="spinal cord"
        ),
        Structure(index=3, name="lesion", abbreviation="L", color="#0000ff"),
    )
)


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 4, 6, 6), torch.randint(0, 4, (2, 6, 6))


def test_parents_are_the_containing_structure_or_background() -> None:
    assert find_parents(CORD) == (0, 0, 1, 0)


def test_with_everything_annotated_it_is_cross_entropy_plus_one_minus_dice() -> None:
    logits, labels = make_batch()
    annotated = torch.ones(2, 3, dtype=torch.bool)
    loss = SegmentationLoss(parents=find_parents(CORD))(logits, labels, annotated)
    dice = soft_dice(logits.softmax(1), labels, annotated)
    torch.testing.assert_close(loss, functional.cross_entropy(logits, labels) + 1 - dice)


def test_soft_dice_of_a_perfect_prediction_is_one_and_of_a_disjoint_one_is_near_zero() -> None:
    labels = torch.zeros(1, 20, 20, dtype=torch.long)
    labels[:, :10] = 1
    perfect = functional.one_hot(labels, 2).movedim(-1, 1).float()
    annotated = torch.ones(1, 1, dtype=torch.bool)
    assert soft_dice(perfect, labels, annotated).item() == pytest.approx(1.0)
    assert soft_dice(perfect.flip(1), labels, annotated).item() < 0.01


def test_a_part_that_was_not_annotated_counts_as_its_container() -> None:
    """Gray matter predicted inside the cord is no mistake where only the cord was annotated."""
    labels = torch.ones(1, 4, 4, dtype=torch.long)
    annotated = torch.tensor([[True, False, True]])
    loss = SegmentationLoss(parents=find_parents(CORD))
    as_cord, as_gray, as_lesion = (torch.zeros(1, 4, 4, 4) for _ in range(3))
    as_cord[:, 1], as_gray[:, 2], as_lesion[:, 3] = 20, 20, 20
    assert loss(as_cord, labels, annotated).item() == pytest.approx(
        loss(as_gray, labels, annotated).item()
    )
    assert loss(as_gray, labels, annotated).item() < 0.01
    assert loss(as_lesion, labels, annotated).item() > 5


def test_a_structure_that_was_not_annotated_merges_into_background() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    annotated = torch.tensor([[True, True, False]])
    logits = torch.zeros(1, 4, 4, 4)
    logits[:, 3] = 20
    assert SegmentationLoss(parents=find_parents(CORD))(logits, labels, annotated).item() < 0.01


def test_gradients_are_finite_with_partial_labels() -> None:
    logits, labels = make_batch()
    labels[0] = labels[0].clamp(max=1)
    logits.requires_grad_()
    annotated = torch.tensor([[True, False, False], [True, True, True]])
    SegmentationLoss(parents=find_parents(CORD))(logits, labels, annotated).backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
