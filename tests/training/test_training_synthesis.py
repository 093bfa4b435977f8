from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bids_film.domain.records import from_mapping
from bids_film.images.intensity import CEILING, normalise
from bids_film.training.acquisition import Acquisition, acquire, draw_acquisition
from bids_film.training.contrasts import CONTRASTS, TISSUES, Contrast, draw_contrast
from bids_film.training.field_of_view import (
    Stripping,
    draw_limits,
    draw_stripping,
    face_plane,
    find_box,
    strip_weights,
)
from bids_film.training.painting import paint
from bids_film.training.synthesis import (
    SyntheticScan,
    _normalise,
    prepare_label_map,
    synthesise,
)
from bids_film.training.synthesis_settings import BRAIN_TARGETS, SIDES, SynthesisSettings

PATCH = (32, 36, 32)
PLAIN = SynthesisSettings(strip_probability=0, deface_probability=0, crop_probability=0)


def make_head(size: int = 64) -> NDArray[np.int16]:
    """Shells of fat, bone and fluid around a brain whose halves are left and right."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0))
    right = grid[0] > 0
    head = np.zeros((size,) * 3, dtype=np.int16)
    for outer, value in ((0.95, 511), (0.85, 515), (0.78, 24)):
        head[radius < outer] = value
    for outer, left, side in ((0.7, 3, 42), (0.5, 2, 41), (0.2, 4, 43)):
        head[radius < outer] = np.where(right, side, left)[radius < outer]
    return head


@pytest.fixture(scope="module")
def head() -> torch.Tensor:
    return prepare_label_map(make_head(), brain_below=500)


def draw(
    head: torch.Tensor, seed: int, settings: SynthesisSettings, spacing_mm: float = 2.0
) -> SyntheticScan:
    return synthesise(
        head,
        source_spacing_mm=1.0,
        settings=settings,
        patch=PATCH,
        spacing_mm=spacing_mm,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("spacing_mm", [1.0, 1.5, 2.0, 3.0, 5.0])
def test_shares_are_those_of_the_same_scan_and_add_up_to_one(
    head: torch.Tensor, spacing_mm: float
) -> None:
    for seed in range(6):
        plain, soft = (
            draw(head, seed, SynthesisSettings(soft_labels=wanted), spacing_mm)
            for wanted in (False, True)
        )
        assert plain.shares is None
        assert torch.equal(plain.image, soft.image)
        assert torch.equal(plain.labels, soft.labels)
        assert soft.shares is not None
        assert soft.shares.shape == (len(BRAIN_TARGETS) + 1, *PATCH)
        torch.testing.assert_close(soft.shares.sum(dim=0), torch.ones(PATCH))
        # What lies in a voxel's middle has most of it but on borders, and some of it everywhere.
        middle = soft.shares.gather(0, soft.labels[None])
        assert (middle > 0).all()
        assert middle.mean() > 0.75
        if spacing_mm == 1.0:
            assert torch.equal(middle, torch.ones_like(middle))
        else:
            assert middle.mean() < 1


def test_a_head_without_the_last_structures_has_shares_of_all(head: torch.Tensor) -> None:
    targets = {"white": (2, 41), "lesion": (600,), "no value": ()}
    settings = SynthesisSettings(soft_labels=True, targets=targets)
    scan = draw(head, 0, settings)
    assert scan.shares is not None
    assert scan.shares.shape == (3, *PATCH)
    assert not scan.shares[2].any()


@pytest.mark.parametrize("scale", [2, 3, 4, 6])
def test_a_voxel_is_the_mean_of_as_many_as_it_covers(scale: int) -> None:
    """One in so many along each axis is bright: wherever a voxel lies, it holds exactly one."""
    label_map = torch.zeros(48, 48, 48, dtype=torch.int16)
    label_map[::scale, ::scale, ::scale] = 1
    contrast = Contrast(
        means=torch.tensor([0.0, 1.0]), spreads=torch.zeros(2), grain=1, metadata={}
    )
    steps = torch.arange(10.2, 40, scale)
    located = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"))
    painted = paint(
        label_map, located, contrast, scale=scale, seed=0, channels=torch.tensor([0, 1])
    )
    expected = torch.full(located.shape[1:], 1 / scale**3)
    torch.testing.assert_close(painted.image, expected)
    assert painted.shares is not None
    torch.testing.assert_close(painted.shares[1], expected)


@pytest.mark.parametrize("spacing_mm", [1.0, 1.5, 2.0, 4.0])
def test_a_scan_has_the_patch_s_shape_and_sound_values(
    head: torch.Tensor, spacing_mm: float
) -> None:
    for seed in range(6):
        scan = draw(head, seed, SynthesisSettings(), spacing_mm)
        assert scan.image.shape == (1, *PATCH)
        assert scan.image.dtype == torch.float32
        assert torch.isfinite(scan.image).all()
        assert 0 <= scan.image.min() <= scan.image.max() <= CEILING
        assert scan.labels.shape == PATCH
        assert scan.labels.dtype == torch.int64
        assert set(scan.labels.unique().tolist()) <= set(range(len(BRAIN_TARGETS) + 1))


def test_the_same_seed_gives_the_same_scan(head: torch.Tensor) -> None:
    first, second = draw(head, 5, SynthesisSettings()), draw(head, 5, SynthesisSettings())
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.labels, second.labels)
    assert first.metadata == second.metadata
    assert not torch.equal(first.image, draw(head, 6, SynthesisSettings()).image)


def test_left_stays_left_on_a_mirrored_head(head: torch.Tensor) -> None:
    sided = replace(
        PLAIN,
        targets={"left": (2, 3, 4), "right": (41, 42, 43)},
        rotation_deg=10,
        center_shift_mm=0,
    )
    for flip in (0, 1):
        scan = draw(head, 3, replace(sided, flip_probability=flip))
        left, right = (
            (scan.labels == channel).nonzero()[:, 0].float().mean() for channel in (1, 2)
        )
        assert left + 5 < right


def test_a_stripped_scan_holds_the_brain_only(head: torch.Tensor) -> None:
    bare = replace(
        PLAIN,
        strip_probability=1,
        affine_probability=0,
        elastic_probability=0,
        center_shift_mm=0,
    )
    whole, stripped = draw(head, 0, replace(bare, strip_probability=0)), draw(head, 0, bare)
    assert whole.metadata["SkullStripped"] == "false"
    assert stripped.metadata["SkullStripped"] == "true"
    assert (stripped.image > 0).sum() < 0.8 * (whole.image > 0).sum()
    assert not stripped.labels[whole.labels == 0].any()
    assert (stripped.labels > 0).sum() > 0.5 * (whole.labels > 0).sum()
    assert not stripped.image[0, :3].any()


def test_small_patches_reach_the_whole_head(head: torch.Tensor) -> None:
    still = replace(PLAIN, affine_probability=0, elastic_probability=0, center_shift_mm=0)
    shares = []
    for roaming in (0, 1):
        rng = np.random.default_rng(0)
        scans = [
            synthesise(
                head,
                source_spacing_mm=1.0,
                settings=replace(still, roaming_probability=roaming),
                patch=(16, 16, 16),
                spacing_mm=1.0,
                rng=rng,
            )
            for _ in range(10)
        ]
        shares.append(np.mean([float((scan.labels == 0).float().mean()) for scan in scans]))
    assert shares[0] == 0
    assert shares[1] > 0.1


def test_metadata_tell_the_simulated_voxels(head: torch.Tensor) -> None:
    thick = replace(PLAIN, isotropic_probability=0, slice_mm=(5, 6), in_plane_mm=(0.5, 1))
    metadata = draw(head, 0, thick).metadata
    assert 5 <= metadata["SliceSpacing"] <= 6
    assert 0.5 <= metadata["InPlaneVoxelSize"] <= 1
    even = draw(head, 0, replace(PLAIN, isotropic_probability=1)).metadata
    assert even["SliceSpacing"] == even["InPlaneVoxelSize"]


def test_a_realistic_contrast_names_its_suffix_and_a_random_one_none(head: torch.Tensor) -> None:
    real = replace(PLAIN, realistic_probability=1, contrast_weights={"FLAIR": 1.0})
    assert draw(head, 0, real).metadata["suffix"] == "FLAIR"
    chance = replace(PLAIN, realistic_probability=0)
    assert "suffix" not in draw(head, 0, chance).metadata


def test_tissues_differ_in_the_image_as_in_the_contrast(head: torch.Tensor) -> None:
    clean = replace(
        PLAIN,
        realistic_probability=1,
        contrast_weights={"T1w": 1.0},
        bias_strength=0,
        noise_std=(1e-4, 1e-3),
        isotropic_probability=1,
        isotropic_mm=(1, 2),
        gamma_probability=0,
    )
    for seed in range(5):
        scan = draw(head, seed, clean)
        fluid, gray, white = (
            scan.image[0][scan.labels == channel].median() for channel in (1, 2, 4)
        )
        assert fluid < gray < white


def test_a_cropped_scan_has_no_labels_where_it_has_no_image(head: torch.Tensor) -> None:
    cropped = replace(PLAIN, crop_probability=1, gamma_probability=0)
    for seed in range(8):
        scan = draw(head, seed, cropped)
        box = find_box(scan.image[0] != scan.image[0, 0, 0, 0])
        inside = torch.zeros(PATCH, dtype=torch.bool)
        inside[tuple(slice(a, b + 1) for a, b in zip(box.first, box.last, strict=True))] = True
        assert not scan.labels[~inside].any()


def test_a_label_map_without_a_brain_gives_an_even_scan_and_no_labels() -> None:
    empty = torch.zeros(20, 20, 20, dtype=torch.int16)
    scan = draw(empty, 0, SynthesisSettings(strip_probability=1))
    assert torch.isfinite(scan.image).all()
    assert not scan.labels.any()


def test_preparation_removes_specks_and_tells_spinal_fluid_from_the_brain_s() -> None:
    values = make_head()
    values[2:4, 2, 2] = 24
    values[30:33, 30:33, :8] = 24
    values[30:33, 30:33, 8:14] = 24
    prepared = prepare_label_map(values, brain_below=500)
    assert prepared.dtype == torch.int16
    assert prepared.is_contiguous()
    faces = (prepared[0], prepared[-1], prepared[:, 0], prepared[:, -1], prepared[:, :, 0])
    assert not any(face.any() for face in faces)
    assert (prepared == 524).any()
    lowest = int(((prepared > 0) & (prepared < 500)).any(dim=0).any(dim=0).nonzero()[0])
    assert (prepared == 524).nonzero()[:, 2].max() < lowest
    assert int((prepared == 2).sum()) == int((values == 2).sum())
    again = prepare_label_map(prepared.numpy(), brain_below=500)
    assert torch.equal(again, prepared)


def test_what_lies_in_the_brain_is_for_the_recipe_to_say() -> None:
    values = np.where(make_head() == 3, 1003, make_head())
    assert (values == 1003).any()
    prepared = prepare_label_map(values, brain_below=3000)
    for value in np.unique(values):
        if value:
            assert int((prepared == int(value)).sum()) == int((values == value).sum())


def test_intensities_are_normalised_as_those_of_real_scans() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(40, 40, 40, generator=generator) * 300 + 20
    image[:10] = 0
    expected = torch.from_numpy(normalise(image.numpy()))
    assert torch.allclose(_normalise(image), expected, atol=0.01)


def test_sides_share_an_intensity_and_every_tissue_has_a_range() -> None:
    assert all(set(ranges) == set(TISSUES) - {"air"} for ranges in CONTRASTS.values())
    assert all(low <= high for ranges in CONTRASTS.values() for low, high in ranges.values())
    for seed in range(20):
        contrast = draw_contrast(SynthesisSettings(), np.random.default_rng(seed), 531)
        assert all(contrast.means[left] == contrast.means[right] for left, right in SIDES)
        assert (contrast.means >= 0).all()
        assert (contrast.spreads >= 0).all()


def test_targets_and_sides_name_a_value_once() -> None:
    members = [value for values in BRAIN_TARGETS.values() for value in values]
    assert len(members) == len(set(members))
    pairs = [value for pair in SIDES for value in pair]
    assert len(pairs) == len(set(pairs))


def test_thick_slices_blur_along_their_axis_only() -> None:
    image = torch.zeros(24, 24, 24)
    image[:, :, 12] = 1
    thick = Acquisition(
        spacing_mm=(8.0, 1.0, 1.0), width_mm=(8.0, 1.0, 1.0), blur_mm=(0.0, 0.0), noise_std=0.0
    )
    assert torch.allclose(acquire(image, thick, spacing_mm=2.0, seed=0), image, atol=1e-4)
    turned = acquire(image.movedim(2, 0), thick, spacing_mm=2.0, seed=0)
    assert turned.max() < 0.6


def test_slices_are_never_thinner_than_voxels_are_wide() -> None:
    for seed in range(50):
        drawn = draw_acquisition(SynthesisSettings(), np.random.default_rng(seed))
        counts = sorted(drawn.spacing_mm)
        assert counts[0] == counts[1] <= counts[2]


def test_stripping_keeps_the_inside_and_drops_the_far_outside(head: torch.Tensor) -> None:
    values = head[::2, ::2, ::2].to(torch.int32)
    for seed in range(12):
        weights = strip_weights(
            values, draw_stripping(np.random.default_rng(seed), spacing_mm=2.0), brain_below=500
        )
        assert 0 <= weights.min() <= weights.max() <= 1
        assert (weights[(values == 2) | (values == 41)] > 0.5).all()
        assert not weights[0].any()


def test_a_sharp_and_even_mask_is_the_brain_itself(head: torch.Tensor) -> None:
    values = head.to(torch.int32)
    exact = Stripping(
        keep_fluid=True, sigma=1e-3, threshold=0.5, roughness=torch.zeros(4, 4, 4), softness=0.02
    )
    brain = (values > 0) & (values < 500)
    assert torch.equal(strip_weights(values, exact, brain_below=500) > 0.5, brain)


def test_a_removed_face_lies_before_and_below(head: torch.Tensor) -> None:
    box = find_box((head > 0) & (head < 500))
    for seed in range(10):
        a, b, c = face_plane(box, np.random.default_rng(seed))
        front, low = box.last[1] + 20, box.first[2] - 5
        back, high = box.first[1], box.last[2]
        assert a * front + b * low > c
        assert a * back + b * high < c


def test_limits_hold_at_least_a_slice_and_lie_in_the_patch(head: torch.Tensor) -> None:
    box = find_box(head > 0)
    for seed in range(60):
        limits = draw_limits(box, head.shape, np.random.default_rng(seed), spacing_mm=1.0)
        for limit, size in zip(limits, head.shape, strict=True):
            assert 0 <= limit.start < limit.stop <= size


def test_settings_are_read_from_plain_values() -> None:
    read = from_mapping(
        SynthesisSettings,
        {
            "targets": {"all": [2, 41]},
            "sides": [[2, 41]],
            "contrasts": {"T1w": {"white": [0, 1]}},
            "contrast_weights": {"T1w": 1.0},
        },
        where="[synthesis]",
    )
    assert read.targets == {"all": (2, 41)}
    assert read.sides == ((2, 41),)
    assert read.contrasts["T1w"]["white"] == (0, 1)


@pytest.mark.realdata
def test_a_real_label_map_gives_all_six_structures(shared_data: Path) -> None:
    path = shared_data / "brain-labelmaps" / "labels_01.nii.gz"
    head = prepare_label_map(np.asarray(nib.load(path).dataobj), brain_below=500)
    scan = synthesise(
        head,
        source_spacing_mm=1.0,
        settings=PLAIN,
        patch=(96, 112, 96),
        spacing_mm=2.0,
        rng=np.random.default_rng(0),
    )
    volumes_ml = torch.bincount(scan.labels.reshape(-1), minlength=7) * 0.008
    assert (volumes_ml[1:] > 5).all()
    assert 700 < volumes_ml[1:].sum() < 3000


def test_simulated_scans_bear_the_metadata_that_made_them(head: torch.Tensor) -> None:
    settings = replace(PLAIN, realistic_probability=0, simulated_probability=1)
    scans = [draw(head, seed, settings) for seed in range(12)]
    for scan in scans:
        told = {"MagneticFieldStrength", "RepetitionTime", "EchoTime", "FlipAngle", "suffix"}
        assert told <= set(scan.metadata)
        assert scan.image.isfinite().all()
    assert len({scan.metadata["suffix"] for scan in scans}) > 2
    inverted = [scan.metadata for scan in scans if scan.metadata["suffix"] == "FLAIR"]
    assert inverted
    assert all("InversionTime" in told for told in inverted)
