"""The bundled brain model on real scans, though it has seen synthetic ones only.

    python -m benchmarks.brain.real_scans BRAIN_SAMPLES WORK [--model NAME|FILE] [--report FILE]

Prints the Dice against the automatic, FreeSurfer-like segmentation of sub-vxm01, beside what labels
of the network's voxel size reach; how far the segmentations of T1w, T2w and FLAIR of one brain
agree with each other: structure by structure, and the mean of those that are larger than
`LARGE_ML`; the Dice against the gray- and white-matter masks of the MNI152 template, with what can
be reached there; and the same means of the same network that is told nothing, or of every scan that
it is a T2starw, and without the mirror image, where the model asks for that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from benchmarks.brain.mask_limits import find_highest, measure_coarse, measure_likeliest
from benchmarks.demo.run import compare, make_dataset, read_masks
from benchmarks.running import make_parser, run_program, write_report
from bids_film.images.measures import dice
from bids_film.inputs.dataset import open_dataset
from bids_film.inputs.nifti import read_grid, read_volume
from bids_film.model.checkpoint import load_checkpoint, save_checkpoint
from bids_film.model.header import read_header
from bids_film.models import find_model
from bids_film.training.labels import read_reference
from bids_film.training.recipe import read_recipe

REFERENCE = Path(__file__).with_name("vxm01.toml")
CONTRASTS = ("T1w", "T2w", "FLAIR")
LARGE_ML = 5.0
LIMIT = (
    "The template's masks overlap, the labels do not: a label map can reach {:.3f} against both at "
    "once, whatever made it."
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a model reaches on the real scans.

    Attributes
    ----------
    spacing_mm : float
        Voxel size in which the network works.
    against : DataFrame
        Per structure of sub-vxm01 ``dice``, and ``coarse``, that of its labels' shares in such
        voxels.
    agreement : DataFrame
        See `compare_contrasts`.
    template : Mapping[str, float]
        Dice with each tissue mask.
    """

    spacing_mm: float
    against: pd.DataFrame
    agreement: pd.DataFrame
    template: Mapping[str, float]

    def average_large(self) -> pd.Series:
        """Dice of each pair of contrasts, mean of the large structures."""
        large = self.agreement[self.agreement["volume_ml"] >= LARGE_ML]
        return large.groupby("pair", sort=False)["dice"].mean()

    def average(self) -> dict[str, float]:
        """Means against sub-vxm01, between contrasts and with the template's masks."""
        return {
            "sub-vxm01": self.against["dice"].mean(),
            **self.average_large(),
            **self.template,
        }


def main() -> None:
    """Segment, compare, print."""
    arguments = make_parser(__doc__, model="brain").parse_args()
    found = measure(arguments.dataset, arguments.work, arguments.model)
    header = read_header(find_model(arguments.model))
    told = {
        "told nothing": [f"{field.name}=n/a" for field in header.encoder.fields],
        "told T2starw of all": ["suffix=T2starw"],
    }
    ways = {"as found": found}
    for number, (way, metadata) in enumerate(told.items()):
        work = arguments.work / f"told-{number}"
        ways[way] = measure(arguments.dataset, work, arguments.model, "--metadata", *metadata)
    if header.postprocessing.mirror:
        alone = leave_mirror_out(arguments.model, arguments.work / "alone")
        ways["without mirror image"] = measure(arguments.dataset, alone.parent, str(alone))
    text = describe(found) + describe_ways(ways)
    write_report(arguments.report, text, arguments.model, script="brain/real_scans.py")


def measure(dataset: Path, work: Path, name: str, *options: str) -> Found:
    """Segment all scans into a folder, with further options, and compare."""
    output, template = work / "out", work / "mni152"
    model = ["--model", name]
    run_program(dataset, output, "participant", *model, *options, "-w", str(work / "work"))
    reference = ["--participant-label", "vxm01", "--config-file", str(REFERENCE)]
    run_program(dataset, output, "evaluate", *model, *reference)
    against = pd.read_csv(output / "evaluation_seg-brain_selected.tsv", sep="\t").set_index(
        "structure"
    )
    make_dataset(template / "bids")
    run_program(template / "bids", template / "out", "participant", *model, *options)
    spacing = read_header(find_model(name)).preprocessing.spacing_mm
    structures = read_recipe(REFERENCE).structures
    (scan,) = open_dataset(dataset, participants=["vxm01"])
    grid = read_grid(scan.path).grid
    truth = read_reference(scan, structures, grid, read=read_volume)
    coarse = measure_coarse(truth.labels, grid, spacing)
    index_of = {structure.name: structure.index for structure in structures}
    return Found(
        spacing_mm=spacing[0],
        against=against.assign(coarse=[coarse[index_of[own]] for own in against.index]),
        agreement=pd.DataFrame(list(compare_contrasts(output))),
        template=compare(template / "out"),
    )


def compare_contrasts(output: Path) -> Iterator[dict[str, object]]:
    """Dice between the label maps of two contrasts of a brain, structure by structure."""
    for folder in sorted(output.glob("sub-oms*/anat")):
        for one, other in itertools.combinations(CONTRASTS, 2):
            (first, voxel_ml), (second, _) = (_read(folder, name) for name in (one, other))
            maps = (first, second)
            for name, index in _read_names(folder).items():
                masks = [labels == index for labels in maps]
                yield {
                    "pair": f"{one}, {other}",
                    "structure": name,
                    "dice": dice(*masks),
                    "volume_ml": min(int(mask.sum()) for mask in masks) * voxel_ml,
                }


def _read(folder: Path, contrast: str) -> tuple[np.ndarray, float]:
    (path,) = folder.glob(f"*_space-{contrast}_seg-brain_dseg.nii.gz")
    image = nib.load(path)
    return np.asarray(image.dataobj), float(np.prod(image.header.get_zooms()[:3])) / 1000


def _read_names(folder: Path) -> dict[str, int]:
    table = pd.read_csv(next(folder.glob("*_seg-brain_dseg.tsv")), sep="\t")
    return dict(zip(table["name"], table["index"], strict=True))


def leave_mirror_out(name: str, folder: Path) -> Path:
    """Write a model that segments the scan alone, and gives its file."""
    header, network = load_checkpoint(find_model(name))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{header.name}.safetensors"
    single = replace(header, postprocessing=replace(header.postprocessing, mirror=False))
    save_checkpoint(path, single, network, half_precision=True)
    return path


def describe_ways(ways: Mapping[str, Found]) -> str:
    """Write a table of the means of each way to use the network."""
    means = {way: found.average() for way, found in ways.items()}
    titles = list(means["as found"])
    lines = [
        "",
        "The same means, by what the network is told and shown:",
        "",
        f"| of | {' | '.join(titles)} |",
        f"| --- |{' --- |' * len(titles)}",
    ]
    for way, values in means.items():
        lines.append(f"| {way} | {' | '.join(f'{value:.3f}' for value in values.values())} |")
    return "\n".join([*lines, ""])


def describe(found: Found) -> str:
    """Write the tables in Markdown."""
    lines = ["# The brain model on real scans", "", "Trained on synthetic scans only.", ""]
    agreement = found.agreement
    shares = f"of these labels by their shares in voxels of {found.spacing_mm:g} mm"
    lines += [
        f"| structure | Dice against the FreeSurfer-like labels of sub-vxm01 | {shares} |",
        "| --- | --- | --- |",
    ]
    columns = found.against[["dice", "coarse"]]
    rows = [*columns.iterrows(), ("mean", columns.mean())]
    lines += [f"| {name} | {row['dice']:.3f} | {row['coarse']:.3f} |" for name, row in rows]
    lines += [""]
    lines += ["Dice between two contrasts of one brain, mean of two people with MS:", ""]
    pairs = agreement.pivot_table(index="structure", columns="pair", values="dice", sort=False)
    lines += [
        f"| structure | {' | '.join(pairs.columns)} |",
        "| --- " * (len(pairs.columns) + 1) + "|",
    ]
    for name, row in pairs.iterrows():
        lines += [f"| {name} | {' | '.join(f'{value:.3f}' for value in row)} |"]
    large = found.average_large()
    values = " | ".join(f"{large[pair]:.3f}" for pair in pairs.columns)
    lines += [f"| mean of structures of at least {LARGE_ML:g} mL | {values} |"]
    masks = read_masks()
    highest, likeliest = find_highest(masks), measure_likeliest(masks)
    lines += [
        "",
        LIMIT.format(highest),
        "",
        "| mask of the MNI152 template | Dice | of its own likeliest tissue |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {value:.3f} | {likeliest[name]:.3f} |"
        for name, value in found.template.items()
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
