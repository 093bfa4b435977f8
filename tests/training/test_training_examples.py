from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bids_film.domain.errors import InputError, ScanError, UsageError
from bids_film.domain.scan import MetadataSource, Scan, SourceKind
from bids_film.domain.volume import Grid, Volume
from bids_film.metadata.catalogue import known_field
from bids_film.metadata.encoder import Encoder
from bids_film.training.augment import PRESETS
from bids_film.training.examples import (
    ArrayStore,
    Example,
    check_voxels,
    load_example,
    load_examples,
)
from bids_film.training.recipe import Recipe, recipe_from_dict
from bids_film.training.sampling import (
    ExampleSampler,
    MetadataMask,
    cut_window,
    draw_center,
    find_shares,
    make_sampler,
    withhold_companions,
)
from bids_film.training.settings import MetadataSettings

SHAPE = (20, 24, 10)
CORD = "derivatives/labels/{folder}/{stem}_seg-manual.nii.gz"
GRAY = "derivatives/labels/{folder}/{stem}_gmseg-manual.nii.gz"


def make_recipe(
    *, dimensions: int = 2, conditioning: str = "film", spacing: Sequence[float] = (1.0, 1.0, 0.0)
) -> Recipe:
    return recipe_from_dict(
        {
            "model": {"name": "cord"},
            "structures": [
                {"index": 5, "name": "cord", "abbreviation": "SC", "labels": CORD},
                {
                    "index": 9,
                    "name": "gray",
                    "abbreviation": "GM",
                    "labels": GRAY,
                    "part_of": "cord",
                },
            ],
            "metadata": {"fields": ["MagneticFieldStrength", "suffix"]},
            "preprocessing": {"spacing_mm": list(spacing), "patch": [16, 16, 8][:dimensions]},
            "network": {
                "dimensions": dimensions,
                "channels": [4, 8],
                "conditioning": conditioning,
            },
            "training": {"batch_size": 4, "foreground": 1.0},
        }
    )


def make_grid(shape: tuple[int, int, int] = SHAPE) -> Grid:
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    return Grid(
        shape=shape,
        stored_shape=shape,
        affine=affine,
        qform=affine,
        sform=affine,
        qform_code=1,
        sform_code=1,
    )


def make_scan(root: Path, name: str, *, tesla: float) -> Scan:
    values = {"MagneticFieldStrength": tesla, "suffix": "T2starw"}
    return Scan(
        path=root / f"sub-{name}" / "anat" / f"sub-{name}_T2starw.nii.gz",
        dataset_root=root,
        entities={"sub": name},
        suffix="T2starw",
        datatype="anat",
        sources=(MetadataSource(kind=SourceKind.SIDECAR, file="x.json", values=values),),
    )


class Dataset:
    """Labelled scans in memory; the structures lie right in stored order, left in RAS order."""

    def __init__(self, root: Path) -> None:
        self.scans = [
            make_scan(root, "01", tesla=1.5),
            make_scan(root, "02", tesla=3.0),
        ]
        self.volumes: dict[Path, Volume] = {}
        rng = np.random.default_rng(0)
        for scan in self.scans:
            image = rng.uniform(100, 200, SHAPE).astype(np.float32)
            cord, gray = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
            cord[14:18, 4:12] = 1
            gray[15:17, 6:9] = 1
            image[cord > 0] += 300
            self._add(scan.path, image)
            self._add(
                root / CORD.format(folder=f"sub-{scan.participant}/anat", stem=scan.stem), cord
            )
            if scan.participant == "01":
                path = root / GRAY.format(folder="sub-01/anat", stem=scan.stem)
                self._add(path, gray)

    def _add(self, path: Path, data: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self.volumes[path] = Volume(data=data, grid=make_grid())

    def read(self, path: Path, *, labels: bool = False) -> Volume:
        return self.volumes[path]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(tmp_path)


def fit(recipe: Recipe, examples: list[Example]) -> Encoder:
    return Encoder.fit(recipe.metadata_fields, [example.values for example in examples])


def test_image_and_labels_are_prepared_together(dataset: Dataset) -> None:
    example = load_example(dataset.scans[0], make_recipe(), read=dataset.read)
    assert example.image.shape == (1, *SHAPE)
    assert example.image.dtype == np.float16
    assert set(np.unique(example.labels)) == {0, 1, 2}
    assert example.labels[2:6, 4:12].min() > 0, "flipped to RAS order with the image"
    inside = example.image[0][example.labels > 0].mean()
    assert inside > example.image[0][example.labels == 0].mean() + 0.3


def test_labels_follow_their_image_to_another_spacing(dataset: Dataset) -> None:
    example = load_example(
        dataset.scans[0], make_recipe(spacing=(0.5, 0.5, 0.0)), read=dataset.read
    )
    assert example.labels.shape == (40, 48, 10)
    assert example.spacing_mm == (0.5, 0.5, 1.0)
    assert (example.labels > 0).sum() == 4 * 4 * 8 * 10


def test_what_was_annotated_and_what_is_known_is_kept(dataset: Dataset) -> None:
    one, other = load_examples(dataset.scans, make_recipe(), read=dataset.read)
    assert one.annotated.tolist() == [True, True]
    assert other.annotated.tolist() == [True, False]
    assert one.values == {"MagneticFieldStrength": 1.5, "suffix": "T2starw"}
    assert set(one.points) == {1, 2}
    assert all(one.labels[tuple(place)] == 2 for place in one.points[2])


def test_a_structure_of_which_no_scan_has_a_voxel_cannot_be_learned(dataset: Dataset) -> None:
    recipe = make_recipe()
    examples = load_examples(dataset.scans, recipe, read=dataset.read)
    check_voxels(examples, recipe)
    (inner,) = [place for place, one in enumerate(recipe.structures, start=1) if one.part_of]
    for example in examples:
        example.points.pop(inner, None)
    named = recipe.structures[inner - 1].name
    with pytest.raises(InputError, match=f"{named!r}: none of 2 training scans has a voxel"):
        check_voxels(examples, recipe)


def test_arrays_beyond_the_memory_limit_lie_in_files(dataset: Dataset, tmp_path: Path) -> None:
    store = ArrayStore(folder=tmp_path / "work", limit_mb=0.02)
    examples = load_examples(dataset.scans, make_recipe(), read=dataset.read, store=store)
    plain = load_examples(dataset.scans, make_recipe(), read=dataset.read)
    assert [isinstance(example.image, np.memmap) for example in examples] == [False, True]
    for one, other in zip(examples, plain, strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.labels, other.labels)


def test_scans_of_one_name_in_two_datasets_are_both_kept_in_files(
    dataset: Dataset, tmp_path: Path
) -> None:
    store = ArrayStore(folder=tmp_path / "work", limit_mb=0)
    other = Dataset(tmp_path / "other")
    for volume in other.volumes.values():
        volume.data[...] = volume.data[::-1]
    kept = [
        load_examples(some.scans, make_recipe(), read=some.read, store=store)
        for some in (dataset, other)
    ]
    plain = load_examples(dataset.scans, make_recipe(), read=dataset.read)
    assert not np.array_equal(kept[1][0].labels, plain[0].labels)
    for one, expected in zip(kept[0], plain, strict=True):
        assert np.array_equal(one.image, expected.image)
        assert np.array_equal(one.labels, expected.labels)


def test_all_scans_that_cannot_be_used_are_named_at_once(dataset: Dataset) -> None:
    def refuse(path: Path, *, labels: bool = False) -> Volume:
        raise ScanError(f"{path.name} is truncated")

    with pytest.raises(InputError) as caught:
        load_examples(dataset.scans, make_recipe(), read=refuse)
    assert "2 of 2 scans" in str(caught.value)
    assert "sub-01_T2starw.nii.gz is truncated" in str(caught.value)
    assert "sub-02_T2starw.nii.gz is truncated" in str(caught.value)
    assert "exclude" in str(caught.value)


@pytest.mark.parametrize(("dimensions", "patch"), [(2, (16, 16)), (3, (16, 16, 8))])
def test_a_patch_has_the_promised_shapes(
    dataset: Dataset, dimensions: int, patch: tuple[int, ...]
) -> None:
    recipe = make_recipe(dimensions=dimensions)
    examples = load_examples(dataset.scans, recipe, read=dataset.read)
    encoder = fit(recipe, examples)
    drawn = make_sampler(examples, recipe, encoder).draw(np.random.default_rng(0))
    assert drawn.image.shape == (1, *patch)
    assert drawn.image.dtype == torch.float32
    assert drawn.labels.shape == patch
    assert drawn.annotated.shape == (2,)
    assert drawn.annotated.dtype == torch.bool
    assert drawn.vector.shape == (encoder.width,)
    assert drawn.known.shape == (2,)


def make_example() -> Example:
    labels = np.zeros((40, 50, 6), np.uint8)
    labels[4:8, 30:33, 2:3] = 1
    places = np.argwhere(labels > 0).astype(np.int32)
    image = (labels[None] + np.arange(6)).astype(np.float16)
    return Example(
        scan=make_scan(Path("/data"), "01", tesla=3.0),
        image=image,
        labels=labels,
        annotated=np.array([True]),
        values={"suffix": "T2starw"},
        spacing_mm=(1.0, 1.0, 3.0),
        voxel_ml=0.003,
        points={1: places},
    )


def test_a_patch_asked_for_a_structure_holds_it_anywhere_in_the_patch() -> None:
    example, rng = make_example(), np.random.default_rng(0)
    held, rows = [], set()
    for _ in range(60):
        center = draw_center(example, (16, 16), rng, foreground=1.0)
        assert center[2] == 2
        x, y = round(center[0]), round(center[1])
        held.append(example.labels[max(0, x - 8) : x + 8, max(0, y - 8) : y + 8, 2].any())
        rows.add(y)
    assert all(held)
    assert len(rows) > 5


@pytest.mark.parametrize("patch", [(16, 16), (16, 16, 4), (64, 64), (64, 64, 16)])
def test_a_patch_reaches_no_further_beyond_the_image_than_it_must(patch: tuple[int, ...]) -> None:
    example, rng = make_example(), np.random.default_rng(0)
    for _ in range(50):
        center = draw_center(example, patch, rng, foreground=0.5)
        for place, size, length in zip(center, patch, example.labels.shape, strict=False):
            if size >= length:
                assert place == (length - 1) / 2
            else:
                assert (size - 1) / 2 <= place <= length - 1 - (size - 1) / 2


def test_a_window_holds_the_same_voxels_about_its_centre() -> None:
    example = make_example()
    image, labels, middle = cut_window(example, (8, 8), (6.0, 31.0, 2.0))
    x, y = (int(c) for c in middle)
    assert labels[x, y] == example.labels[6, 31, 2] == 1
    assert image.shape == (1, *labels.shape)
    assert image[0, x, y] == 3.0
    assert image.dtype == torch.float32


def make_mask(**settings: float) -> MetadataMask:
    fields = (known_field("MagneticFieldStrength"), known_field("suffix"))
    rows = [
        {"MagneticFieldStrength": 1.5, "suffix": "T1w"},
        {"MagneticFieldStrength": 3.0, "suffix": "T2starw"},
    ]
    return MetadataMask(
        encoder=Encoder.fit(fields, rows),
        settings=MetadataSettings(fields=("MagneticFieldStrength", "suffix"), **settings),
    )


def test_fields_are_withheld_as_often_as_asked_for() -> None:
    values = {"MagneticFieldStrength": 3.0, "suffix": "T2starw"}
    mask, rng = make_mask(drop_probability=0.3, drop_all_probability=0.1), np.random.default_rng(0)
    known = torch.stack([mask.encode(values, rng)[1] for _ in range(2000)])
    assert torch.allclose(known.mean(dim=0), torch.tensor(0.9 * 0.7), atol=0.04)
    assert abs(float((known.sum(dim=1) == 0).float().mean()) - (0.1 + 0.9 * 0.09)) < 0.03


def test_a_value_that_is_not_known_stays_so() -> None:
    mask = make_mask(drop_probability=0.0, drop_all_probability=0.0)
    _, known = mask.encode(
        {"MagneticFieldStrength": None, "suffix": "T2starw"}, np.random.default_rng(0)
    )
    assert known.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("shuffled", [False, True])
def test_only_the_shuffled_control_is_told_of_other_scans(
    dataset: Dataset, *, shuffled: bool
) -> None:
    recipe = make_recipe(conditioning="shuffled" if shuffled else "film")
    examples = load_examples(dataset.scans, recipe, read=dataset.read)
    sampler = ExampleSampler(
        examples=examples,
        mask=make_mask(drop_probability=0.0, drop_all_probability=0.0),
        augmentation=PRESETS["none"],
        patch=(16, 16),
        shuffled=make_sampler(examples, recipe, fit(recipe, examples)).shuffled,
    )
    rng = np.random.default_rng(0)
    patches = [sampler.draw(rng) for _ in range(64)]
    of_first_scan = [bool(patch.annotated[1]) for patch in patches]
    low_field = [bool(patch.vector[0] < 0) for patch in patches]
    assert (of_first_scan == low_field) is not shuffled


def add_source(scan: Scan, values: dict[str, str]) -> Scan:
    table = MetadataSource(kind=SourceKind.PARTICIPANTS_TSV, file="participants.tsv", values=values)
    return replace(scan, sources=(*scan.sources, table))


@pytest.mark.parametrize("key", ["MagneticFieldStrength", "site"])
def test_balance_draws_each_value_equally_often(key: str) -> None:
    """Three scans of one site and one of another; the column need not be a metadata field."""
    common, rare = make_example(), make_example()
    rare = replace(rare, values={"MagneticFieldStrength": 1.5})
    common = replace(common, values={"MagneticFieldStrength": 3.0})
    examples = [
        replace(example, scan=add_source(example.scan, {"site": site}))
        for example, site in ((common, "A"), (common, "A"), (common, "A"), (rare, "B"))
    ]
    shares = find_shares(examples, key)
    assert shares.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_balance_over_what_no_scan_has_is_refused() -> None:
    with pytest.raises(UsageError, match="no training scan has a value of 'age'"):
        find_shares([make_example()], "age")


def test_a_patch_of_slices_comes_with_its_neighbours_and_companions() -> None:
    example = make_example()
    two = replace(example, image=np.concatenate([example.image, example.image + 100]))
    image, labels, middle = cut_window(two, (8, 8), (6.0, 31.0, 5.0), neighbours=1)
    assert image.shape == (6, *labels.shape)
    x, y = (int(c) for c in middle)
    assert image[:, x, y].tolist() == [4, 5, 5, 104, 105, 105]


def test_slices_without_labels_are_not_drawn_but_are_neighbours() -> None:
    labelled = np.array([1, 4])
    example, rng = replace(make_example(), slices=labelled, points={}), np.random.default_rng(0)
    drawn = {round(draw_center(example, (8, 8), rng, foreground=0.0)[2]) for _ in range(40)}
    assert drawn == set(labelled.tolist())
    image, _, _ = cut_window(example, (8, 8), (20.0, 10.0, 4.0), neighbours=1)
    assert image[:, 0, 0].tolist() == [3, 4, 5]


def test_a_companion_that_is_missing_stays_zero_whatever_is_changed() -> None:
    example = make_example()
    two = replace(example, image=np.concatenate([example.image, 0 * example.image]))
    augmentation = replace(PRESETS["strong"], levels_probability=1, noise_probability=1)
    sampler = ExampleSampler(
        examples=[two], mask=make_mask(), augmentation=augmentation, patch=(16, 16)
    )
    for seed in range(8):
        assert not bool(sampler.draw(np.random.default_rng(seed)).image[1].any())


def test_companions_are_withheld_as_often_as_asked_for_and_the_scan_never() -> None:
    image, rng = torch.ones(6, 2, 2), np.random.default_rng(0)
    drawn = torch.stack([withhold_companions(image, 3, 0.3, rng)[:, 0, 0] for _ in range(1000)])
    assert bool((drawn[:, :2] == 1).all())
    assert torch.equal(drawn[:, 2], drawn[:, 3])
    assert torch.allclose(drawn[:, 2:].mean(dim=0), torch.tensor(0.7), atol=0.05)
    assert not torch.equal(drawn[:, 2], drawn[:, 4])
