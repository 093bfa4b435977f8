from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_film.domain.errors import UsageError
from bids_film.domain.records import from_mapping
from bids_film.training import intensity, separable
from bids_film.training.augment import (
    PRESETS,
    AugmentSettings,
    apply_intensity,
    apply_spatial,
    augment_example,
    draw_augmentation,
)
from bids_film.training.spatial import (
    crop_or_pad,
    draw_deformation,
    locate_sources,
    sample_linear,
    sample_nearest,
)

NONE = PRESETS["none"]


def make_example(shape: tuple[int, ...], channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    grid = torch.meshgrid(*[torch.linspace(-1, 1, size) for size in shape], indexing="ij")
    radius = sum(axis**2 for axis in grid).sqrt()
    labels = (radius < 0.8).to(torch.int16) + (radius < 0.4).to(torch.int16)
    return (labels / 2).expand(channels, *shape).contiguous(), labels


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("shape", "patch"), [((40, 50), (32, 48)), ((20, 24, 22), (16, 32, 20))])
def test_a_patch_has_its_shape_and_finite_values(
    preset: str, shape: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    image, labels = make_example(shape, channels=2)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        result, target = augment_example(
            image, labels, patch=patch, settings=PRESETS[preset], rng=rng, center=None
        )
        assert result.shape == (2, *patch)
        assert result.dtype == torch.float32
        assert torch.isfinite(result).all()
        assert target.shape == patch
        assert set(target.unique().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("patch", [(40, 36), (24, 20, 8)])
def test_a_patch_looks_no_further_than_its_reach(preset: str, patch: tuple[int, ...]) -> None:
    settings = replace(PRESETS[preset], flip_axes=(0,), voxel_size=(1.0, 0.8, 5.0)[: len(patch)])
    for seed in range(20):
        augmentation = draw_augmentation(settings, np.random.default_rng(seed), patch)
        deformation = augmentation.deformation
        located = locate_sources(deformation, patch, center=(0.0,) * len(patch))
        farthest = located.abs().flatten(1).amax(dim=1).numpy()
        assert (farthest <= np.array(deformation.find_reach(patch)) + 1e-4).all()


def test_the_same_seed_gives_the_same_patch() -> None:
    image, labels = make_example((30, 30, 30))
    first, second = (
        augment_example(
            image,
            labels,
            patch=(24, 24, 24),
            settings=PRESETS["strong"],
            rng=np.random.default_rng(7),
            center=None,
        )
        for _ in range(2)
    )
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_applying_twice_gives_the_same_and_leaves_the_example_alone() -> None:
    image, labels = make_example((30, 34))
    untouched = image.clone()
    everything = {
        item.name: 1.0 for item in fields(AugmentSettings) if item.name.endswith("_probability")
    }
    augmentation = draw_augmentation(
        replace(PRESETS["strong"], **everything), np.random.default_rng(1), (30, 34)
    )
    moved, _ = apply_spatial(augmentation, image, labels, patch=(30, 34), center=(15, 17))
    kept = moved.clone()
    first, second = (apply_intensity(augmentation, moved) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(moved, kept)
    assert torch.equal(image, untouched)


def test_no_augmentation_cuts_the_patch_out() -> None:
    image, labels = make_example((20, 21))
    result, target = augment_example(
        image, labels, patch=(8, 9), settings=NONE, rng=np.random.default_rng(0), center=(9, 10)
    )
    assert torch.equal(result, image[:, 6:14, 6:15])
    assert torch.equal(target, labels[6:14, 6:15])


@given(size=st.integers(1, 12), patch=st.integers(1, 20), center=st.floats(-5, 20, allow_nan=False))
def test_what_a_patch_holds_beyond_the_image_is_zero(size: int, patch: int, center: float) -> None:
    data = torch.arange(1, size + 1)
    result = crop_or_pad(data, (patch,), center=(center,))
    assert result.shape == (patch,)
    inside = result[result != 0]
    assert torch.equal(inside, torch.sort(inside).values)
    first = int(np.floor(center - (patch - 1) / 2 + 0.5))
    assert len(inside) == max(0, min(first + patch, size) - max(first, 0))


@pytest.mark.parametrize("shape", [(64, 60), (32, 40, 36)])
def test_labels_go_where_the_image_goes(shape: tuple[int, ...]) -> None:
    image, labels = make_example(shape)
    bent = replace(PRESETS["strong"], affine_probability=1, elastic_probability=1)
    for seed in range(4):
        augmentation = draw_augmentation(bent, np.random.default_rng(seed), shape)
        center = tuple((size - 1) / 2 for size in shape)
        moved, target = apply_spatial(augmentation, image, labels, patch=shape, center=center)
        assert not torch.equal(target, labels)
        agreement = ((moved[0] * 2).round() == target).float().mean()
        assert agreement > 0.97


def test_only_allowed_axes_are_mirrored() -> None:
    image, labels = torch.rand(1, 8, 8), torch.arange(64).reshape(8, 8)
    seen = set()
    for seed in range(20):
        result, target = augment_example(
            image,
            labels,
            patch=(8, 8),
            settings=replace(NONE, flip_axes=(0,)),
            rng=np.random.default_rng(seed),
            center=None,
        )
        mirrored = torch.equal(target, labels.flip(0))
        assert mirrored or torch.equal(target, labels)
        assert torch.allclose(result, image.flip(1) if mirrored else image, atol=1e-5)
        seen.add(mirrored)
    assert seen == {True, False}


@pytest.mark.parametrize("patch", [(24, 24), (24, 21), (16, 16)])
def test_mirroring_loses_no_voxel(patch: tuple[int, int]) -> None:
    labels = torch.arange(1, 21 * 21 + 1).reshape(21, 21)
    settings = replace(NONE, flip_axes=(0, 1))
    for seed in range(8):
        image, target = augment_example(
            labels[None].float(), labels, patch=patch, settings=settings,
            rng=np.random.default_rng(seed), center=None,
        )  # fmt: skip
        assert torch.equal(image[0].long(), target)
        inside = target[target > 0]
        assert len(inside.unique()) == len(inside) == min(patch[0], 21) * min(patch[1], 21)


def test_rotation_turns_space_and_not_the_grid() -> None:
    rigid = replace(NONE, affine_probability=1, scale=(1, 1), anisotropy=1, shear=0)
    size = np.array([1.0, 1.0, 4.0])
    drawn = draw_deformation(
        rigid,
        np.random.default_rng(0),
        (8, 8, 8),
        flips=(False, False, False),
        voxel_size=size.tolist(),
    )
    turn = np.diag(size) @ np.array(drawn.matrix) @ np.diag(1 / size)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert not np.allclose(turn, np.eye(3), atol=1e-3)


def test_a_larger_scale_makes_a_larger_object() -> None:
    image, labels = make_example((64, 64))
    double = replace(NONE, affine_probability=1, rotation_deg=0, shear=0, anisotropy=1)
    areas = []
    for scale in (0.5, 1.0):
        _, target = augment_example(
            image,
            labels,
            patch=(64, 64),
            settings=replace(double, scale=(scale, scale), translation=0),
            rng=np.random.default_rng(0),
            center=None,
        )
        areas.append(int((target > 0).sum()))
    assert areas[0] / areas[1] == pytest.approx(0.25, rel=0.1)


def test_strong_elastic_fields_do_not_fold() -> None:
    bent = replace(PRESETS["strong"], affine_probability=0, elastic_probability=1)
    for seed in range(10):
        drawn = draw_deformation(
            bent, np.random.default_rng(seed), (64, 64), flips=(False, False), voxel_size=(1, 1)
        )
        row, column = locate_sources(drawn, (64, 64), center=(31.5, 31.5))
        (a, b), (c, d) = torch.gradient(row), torch.gradient(column)
        assert (a * d - b * c > 0).float().mean() > 0.999


def test_sampling_at_voxel_centres_changes_nothing() -> None:
    image, labels = make_example((7, 8, 9))
    located = torch.stack(torch.meshgrid(*map(torch.arange, (7, 8, 9)), indexing="ij")).float()
    assert torch.allclose(sample_linear(image, located), image, atol=1e-5)
    assert torch.equal(sample_nearest(labels, located), labels)
    assert not sample_nearest(labels + 1, located + 100).any()


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="a patch of as many axes"):
        augment_example(
            torch.zeros(1, 8, 8),
            torch.zeros(8, 9, dtype=torch.int64),
            patch=(8, 8),
            settings=NONE,
            rng=np.random.default_rng(0),
            center=None,
        )


def test_gamma_keeps_black_and_white() -> None:
    image = torch.tensor([[-0.2, 0.0, 0.5, 1.0]])
    for inverted in (False, True):
        result = intensity.Gamma(exponent=2.0, inverted=inverted)(image)
        assert result[0, 1:].tolist() == pytest.approx([0, 0.75 if inverted else 0.25, 1])
        assert torch.isfinite(result).all()
    assert intensity.Gamma(exponent=2.0)(image)[0, 0] == pytest.approx(-0.2)


def test_a_straight_curve_changes_nothing_and_another_its_knots() -> None:
    image = torch.rand(1, 9, 9)
    straight = intensity.Remap(values=(0.0, 0.25, 0.5, 0.75, 1.0))
    assert torch.allclose(straight(image), image, atol=1e-6)
    bent = intensity.Remap(values=(0.0, 1.0, 0.2))
    assert bent(torch.tensor([[0.0, 0.25, 0.5, 1.0, 3.0]]))[0].tolist() == pytest.approx(
        [0, 0.5, 1, 0.2, 0.2]
    )


@pytest.mark.parametrize(
    "step",
    [
        intensity.Blur(sigma=(1.0, 2.0)),
        intensity.Sharpen(sigma=(1.0, 1.0), amount=1.0),
        intensity.LowResolution(factors=(3.3, 1.0)),
        intensity.Levels(contrast=2.0, brightness=0.0),
        intensity.Bias(controls=torch.zeros(4, 5)),
        intensity.Ghosting(axis=1, copies=4, amount=0.3),
        intensity.Noise(std=0.0, seed=0),
    ],
)
def test_an_even_image_stays_even(step: intensity.IntensityStep) -> None:
    image = torch.full((2, 20, 24), 0.6)
    assert torch.allclose(step(image), image, atol=1e-5)


def test_low_resolution_blurs_only_its_axis() -> None:
    image = torch.zeros(1, 16, 16)
    image[:, :, 8] = 1
    assert torch.allclose(intensity.LowResolution(factors=(4.0, 1.0))(image), image, atol=1e-5)
    assert intensity.LowResolution(factors=(1.0, 4.0))(image).max() < 0.6


def test_rician_noise_is_never_negative() -> None:
    noise = intensity.Noise(std=0.2, seed=3, rician=True)(torch.zeros(1, 30, 30))
    assert noise.min() >= 0
    assert noise.mean() == pytest.approx(0.2 * np.sqrt(np.pi / 2), rel=0.1)


@given(axis=st.integers(-3, 2), size=st.integers(1, 6))
def test_a_matrix_is_applied_along_its_axis(axis: int, size: int) -> None:
    image = torch.rand(3, 4, 5)
    matrix = torch.rand(size, image.shape[axis])
    expected = torch.tensordot(matrix, image, dims=([1], [axis])).movedim(0, axis)
    assert torch.allclose(separable.apply_matrix(image, matrix, axis), expected, atol=1e-5)


@settings(max_examples=50)
@given(
    size=st.integers(1, 60),
    controls=st.integers(4, 9),
    factor=st.floats(1, 8),
    width=st.floats(0.01, 9),
)
def test_operators_keep_the_brightness(
    size: int, controls: int, factor: float, width: float
) -> None:
    down, up = separable.acquisition_matrices(size, factor, width)
    for matrix in (
        separable.gaussian_matrix(size, width),
        separable.spline_matrix(size, controls),
        down,
        up,
    ):
        assert torch.allclose(matrix.sum(dim=1), torch.ones(len(matrix)), atol=1e-4)
        assert (matrix > -1e-6).all()


def test_coarse_sampling_keeps_a_ramp_in_place() -> None:
    ramp = torch.arange(40.0)
    down, up = separable.acquisition_matrices(40, 4.0, 4.0)
    assert torch.allclose((up @ (down @ ramp))[6:-6], ramp[6:-6], atol=0.05)


def test_settings_are_read_from_plain_values() -> None:
    read = from_mapping(
        AugmentSettings, {"flip_axes": [0], "gamma": [0.5, 2], "rotation_deg": 5}, where="[a]"
    )
    assert read == AugmentSettings(flip_axes=(0,), gamma=(0.5, 2), rotation_deg=5)
    with pytest.raises(UsageError, match="did you mean 'rotation_deg'"):
        from_mapping(AugmentSettings, {"rotation": 5}, where="[a]")


@pytest.mark.parametrize("preset", ["none", "strong"])
def test_shares_stay_shares_and_beyond_the_example_all_is_background(preset: str) -> None:
    """They are interpolated like the image, and of a mask they are the mask but for its rim."""
    mask = torch.zeros(12, 12, 12)
    mask[3:9, 3:9, 3:9] = 1
    shares = torch.stack([1 - mask, 0.3 * mask, 0.7 * mask])
    rng = np.random.default_rng(0)
    for _ in range(10):
        image, found = augment_example(
            mask[None], shares, patch=(16, 16, 16), settings=PRESETS[preset], rng=rng
        )
        assert image.shape == (1, 16, 16, 16)
        assert found.shape == (3, 16, 16, 16)
        torch.testing.assert_close(found.sum(dim=0), torch.ones(16, 16, 16))
        assert float(found.min()) >= -1e-6
        torch.testing.assert_close(found[1] * 7, found[2] * 3)
