"""Where the bundled models fail: the scans on which each did worst, as pictures.

    python -m benchmarks.models.failures DATA WORK [--model NAME ...] [--write]

DATA holds the public datasets by name. Of each model, the structures with the lowest Dice are shown
on scans with labels that it was not trained on, where there are any: of the slices on which
something was drawn, the one with most voxels that are wrong. With --write, pictures go into
docs/failures, and docs/models.md names them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import contourpy
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.pages import DOCS, write_section
from benchmarks.provenance import describe_run
from benchmarks.running import run_program
from bids_film.derivatives.sidecars import find_sidecars, read_segmentation
from bids_film.inputs.nifti import read_volume
from bids_film.model.header import ModelHeader, read_header
from bids_film.models import find_model
from bids_film.report.stage import Stage, cut_slice, set_stage, to_gray
from bids_film.training.labels import read_reference
from bids_film.training.recipe import Recipe, read_recipe, recipe_from_dict
from bids_film.workflow.evaluate import find_scan

SHOWN = 3
SIDE = 360
BLUE, ORANGE = (90, 210, 255), (255, 150, 40)
FOUND_BIT, TRUTH_BIT = 1, 2
Row = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, and the scans on which it is looked at.

    Attributes
    ----------
    model, dataset : str
    part : str
        Of the model's split; empty for the scans of `participants`.
    participants : tuple[str, ...]
    config : Path or None
        Where the labels are, if the model's own recipe does not say it.
    scans : str
        What they are, in words.
    """

    model: str
    dataset: str
    part: str = ""
    participants: tuple[str, ...] = ()
    config: Path | None = None
    scans: str


SUBJECTS = (
    Subject(
        model="brain",
        dataset="brain-samples",
        participants=("vxm01",),
        config=Path(__file__).parents[1] / "brain" / "vxm01.toml",
        scans="a real scan; the reference is automatic",
    ),
    Subject(
        model="hippocampus",
        dataset="hippocampus",
        part="validation",
        scans="people kept out of training, who chose the step that was kept",
    ),
    Subject(
        model="spinalcord",
        dataset="gm-challenge",
        part="training",
        scans="scans that it was trained on, as there are no others with labels",
    ),
    Subject(model="tumor", dataset="brisc", part="test", scans="slices kept out of training"),
)


def main() -> None:
    """Segment, find what is worst, draw it."""
    names = [subject.model for subject in SUBJECTS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path, help="keeps what is made, to go on from")
    parser.add_argument("--model", nargs="+", choices=names, default=names)
    parser.add_argument("--write", action="store_true", help="write into docs/")
    arguments = parser.parse_args()
    for subject in SUBJECTS:
        if subject.model in arguments.model:
            picture, text = show(subject, arguments.data / subject.dataset, arguments.work)
            print(text)
            if arguments.write:
                path = DOCS / "failures" / f"{subject.model}.webp"
                path.parent.mkdir(exist_ok=True)
                picture.save(path, quality=80, method=6)
                write_section("models.md", f"failures of {subject.model}", text)


def show(subject: Subject, dataset: Path, work: Path) -> tuple[Image.Image, str]:
    """Draw the worst of a model, and describe it in Markdown."""
    header = read_header(find_model(subject.model))
    worst = find_worst(subject, header, dataset, work / subject.model).to_dict("records")
    picture = Image.new("RGB", (SHOWN * SIDE, SIDE))
    for place, row in enumerate(worst):
        tile = draw(row, subject, header, dataset, work / subject.model)
        picture.paste(tile, (place * SIDE, 0))
    told = "; ".join(
        f"`{Path(row['scan']).name.partition('.')[0]}`, {row['structure']}, Dice {row['dice']:.2f}"
        for row in worst
    )
    text = f"![The worst of {subject.model}](failures/{subject.model}.webp)\n\n"
    text += f"The lowest Dice on {subject.scans}: {told}. Blue: reference, orange: found.\n\n"
    return picture, text + describe_run("models/failures.py", subject.model)


def find_worst(subject: Subject, header: ModelHeader, dataset: Path, output: Path) -> pd.DataFrame:
    """Evaluate, choose the rows with the lowest Dice, and have label maps of their scans."""
    model = ["--model", subject.model]
    whom = ["--participant-label", *subject.participants] if subject.participants else []
    if not subject.part:
        run_program(dataset, output, "participant", *model, *whom)
    part = ["--part", subject.part] if subject.part else []
    config = ["--config-file", str(subject.config)] if subject.config else []
    selected = "_selected" if subject.participants else ""
    path = output / f"evaluation_seg-{header.name}{selected}.tsv"
    if not path.exists():
        run_program(dataset, output, "evaluate", *model, *part, *config, *whom)
    rows = pd.read_csv(path, sep="\t").sort_values("dice")
    if subject.part:
        # One structure of a scan is enough to show that the scan went wrong.
        rows = rows.drop_duplicates("participant_id")
        labels = [name.removeprefix("sub-") for name in rows["participant_id"][:SHOWN]]
        run_program(dataset, output, "participant", *model, "--participant-label", *labels)
    return rows[:SHOWN]


def draw(
    row: Row, subject: Subject, header: ModelHeader, dataset: Path, output: Path
) -> Image.Image:
    """Draw the slice of a scan on which most voxels of a structure are wrong."""
    path = str(row["scan"])
    participant = path.partition("/")[0].removeprefix("sub-")
    outputs = (read_segmentation(one, output) for one in find_sidecars(output, participant))
    segmentation = next(one for one in outputs if one.scan == path)
    volume = read_volume(dataset / path)
    found = read_volume(output / segmentation.labels_file, labels=True).data
    scan = find_scan(segmentation, dataset)
    structures = _find_recipe(subject, header).structures
    truth = read_reference(scan, structures, volume.grid, read=read_volume).labels
    indices = header.labels.indices_of(str(row["structure"]))
    marked = FOUND_BIT * np.isin(found, indices) + TRUTH_BIT * np.isin(truth, indices)
    return _draw(set_stage(volume, marked, header.labels))


def _draw(stage: Stage) -> Image.Image:
    """Draw both outlines on the slice on which most voxels have one mark only."""
    plane = stage.planes[0]
    across = tuple(axis for axis in range(3) if axis != plane.axis)
    wrong = np.isin(stage.labels, (FOUND_BIT, TRUTH_BIT)).sum(axis=across)
    # Where nothing was drawn, nobody may have looked.
    drawn = (stage.labels & TRUTH_BIT).any(axis=across)
    position = int(np.where(drawn, wrong, -1).argmax())
    gray = to_gray(cut_slice(stage.image, plane, position, stage.region), stage.window)
    cut = cut_slice(stage.labels, plane, position, stage.region)
    rows, columns = gray.shape
    scale = SIDE / max(rows, columns)
    size = round(columns * scale), round(rows * scale)
    part = Image.fromarray(gray).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    pen = ImageDraw.Draw(part)
    for bit, color in ((TRUTH_BIT, BLUE), (FOUND_BIT, ORANGE)):
        for line in _outline((cut & bit) > 0):
            pen.line([tuple(point) for point in (line * scale).tolist()], fill=color, width=2)
    tile = Image.new("RGB", (SIDE, SIDE))
    tile.paste(part, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return tile


def _outline(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    # A pixel of padding closes what touches the edge; corners are counted, not centres.
    padded = np.pad(mask, 1).astype(np.float64)
    lines = contourpy.contour_generator(z=padded, line_type="Separate").lines(0.5)
    return [line - 0.5 for line in lines]


def _find_recipe(subject: Subject, header: ModelHeader) -> Recipe:
    if subject.config:
        return read_recipe(subject.config)
    return recipe_from_dict(header.training["recipe"], where=f"recipe of {subject.model}")


if __name__ == "__main__":
    main()
