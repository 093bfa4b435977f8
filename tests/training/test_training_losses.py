from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from bids_film.domain.labels import LabelTable, Structure
from bids_film.training.losses import LossName, SegmentationLoss, find_parents, measure_overlap

CORD = LabelTable(
    structures=(
        Structure(index=1, name="spinal cord", abbreviation="SC", color="#ff0000"),
        Structure(
            index=2, name="gray matter", abbreviation="GM", color="#00ff00", part_of="spinal cord"
        ),
        Structure(index=3, name="lesion", abbreviation="L", color="#0000ff"),
    )
)


def soft_dice(
    probabilities: torch.Tensor, labels: torch.Tensor, annotated: torch.Tensor
) -> torch.Tensor:
    truth = functional.one_hot(labels, probabilities.shape[1]).movedim(-1, 1).float()
    return measure_overlap(probabilities, truth, annotated).dice


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 4, 6, 6), torch.randint(0, 4, (2, 6, 6))


def test_parents_are_the_containing_structure_or_background() -> None:
    assert find_parents(CORD) == (0, 0, 1, 0)


def test_with_everything_annotated_it_is_cross_entropy_plus_one_minus_dice() -> None:
    logits, labels = make_batch()
    annotated = torch.ones(2, 3, dtype=torch.bool)
    loss = SegmentationLoss(parents=find_parents(CORD))([logits], labels, annotated)
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
    assert loss([as_cord], labels, annotated).item() == pytest.approx(
        loss([as_gray], labels, annotated).item()
    )
    assert loss([as_gray], labels, annotated).item() < 0.01
    assert loss([as_lesion], labels, annotated).item() > 5


def test_a_structure_that_was_not_annotated_merges_into_background() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    annotated = torch.tensor([[True, True, False]])
    logits = torch.zeros(1, 4, 4, 4)
    logits[:, 3] = 20
    assert SegmentationLoss(parents=find_parents(CORD))([logits], labels, annotated).item() < 0.01


def test_gradients_are_finite_with_partial_labels() -> None:
    logits, labels = make_batch()
    labels[0] = labels[0].clamp(max=1)
    logits.requires_grad_()
    annotated = torch.tensor([[True, False, False], [True, True, True]])
    SegmentationLoss(parents=find_parents(CORD))([logits], labels, annotated).backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("name", ["dice+ce", "dice", "ce", "focal-tversky"])
def test_each_loss_falls_to_nearly_nothing_on_the_right_answer(name: LossName) -> None:
    _, labels = make_batch()
    right = 20 * functional.one_hot(labels, 4).movedim(-1, 1).float()
    annotated = torch.ones(2, 3, dtype=torch.bool)
    loss = SegmentationLoss(parents=find_parents(CORD), name=name)
    assert loss([right], labels, annotated).item() < 0.01
    assert loss([-right], labels, annotated).item() > 0.5


@pytest.mark.parametrize("name", ["dice+ce", "dice", "ce", "focal-tversky"])
def test_shares_of_zero_and_one_count_as_labels_do(name: LossName) -> None:
    logits, labels = make_batch()
    shares = functional.one_hot(labels, 4).movedim(-1, 1).float()
    annotated = torch.ones(2, 3, dtype=torch.bool)
    loss = SegmentationLoss(parents=find_parents(CORD), name=name)
    torch.testing.assert_close(loss([logits], labels, annotated), loss([logits], shares, annotated))


def test_cross_entropy_with_shares_is_lowest_where_the_network_says_the_same() -> None:
    shares = torch.tensor([0.3, 0.7]).reshape(1, 2, 1, 1).expand(1, 2, 3, 3)
    annotated = torch.ones(1, 1, dtype=torch.bool)
    loss = SegmentationLoss(parents=(0, 0), name="ce")
    same = loss([shares.log()], shares, annotated)
    for other in (0.5, 0.6, 0.8):
        told = torch.tensor([1 - other, other]).log().reshape(1, 2, 1, 1).expand(1, 2, 3, 3)
        assert loss([told], shares, annotated) > same


def test_focal_tversky_minds_a_missed_voxel_more_than_an_added_one() -> None:
    labels = torch.zeros(1, 20, 20, dtype=torch.long)
    labels[:, 5:15, 5:15] = 1
    missed, added = labels.clone(), labels.clone()
    missed[:, 5:7], added[:, 15:17, 5:15] = 0, 1
    annotated = torch.ones(1, 1, dtype=torch.bool)
    loss = SegmentationLoss(parents=(0, 0), name="focal-tversky")
    logits = [20 * functional.one_hot(found, 2).movedim(-1, 1).float() for found in (missed, added)]
    assert loss([logits[0]], labels, annotated) > loss([logits[1]], labels, annotated) + 0.02


def test_patches_without_a_small_structure_do_not_undo_what_those_with_it_teach() -> None:
    """What is hardly known yet is pulled up where it is, harder than pushed down elsewhere."""
    annotated = torch.ones(1, 1, dtype=torch.bool)
    loss = SegmentationLoss(parents=(0, 0))
    slopes = []
    for voxels in (10, 0):
        labels = torch.zeros(1, 200, 200, dtype=torch.long)
        labels[0, 0, :voxels] = 1
        logits = torch.zeros(1, 2, 200, 200)
        logits[0, 1] = -30
        logits[0, 1, :10, :10] = -5
        logits.requires_grad_()
        loss([logits], labels, annotated).backward()
        assert logits.grad is not None
        slopes.append(logits.grad[0, 1, 0, :10].sum().item())
    pulled, pushed = slopes
    assert pulled < 0 < pushed < -pulled


def test_coarser_levels_are_compared_with_coarser_labels_and_count_less() -> None:
    _, labels = make_batch()
    annotated = torch.ones(2, 3, dtype=torch.bool)
    labels = labels[:, ::2, ::2].repeat_interleave(2, 1).repeat_interleave(2, 2)
    right = 20 * functional.one_hot(labels, 4).movedim(-1, 1).float()
    coarse = right[..., ::2, ::2]
    loss = SegmentationLoss(parents=find_parents(CORD))
    assert loss([right, coarse], labels, annotated).item() < 0.01
    wrong_fine = loss([-right, coarse], labels, annotated)
    wrong_coarse = loss([right, -coarse], labels, annotated)
    assert wrong_fine > 1.5 * wrong_coarse > 0


def test_coarser_labels_lie_where_the_labels_do() -> None:
    labels = torch.randint(0, 4, (2, 8, 8), generator=torch.Generator().manual_seed(3))
    fine, coarse = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 4, 4)
    annotated = torch.ones(2, 3, dtype=torch.bool)
    loss = SegmentationLoss(parents=find_parents(CORD))
    turned = loss([fine.flip(2, 3), coarse.flip(2, 3)], labels.flip(1, 2), annotated)
    torch.testing.assert_close(turned, loss([fine, coarse], labels, annotated))
