"""How well the network's own figures track the real Dice, on people kept out of its training.

    python -m benchmarks.hippocampus.uncertainty HIPPOCAMPUS WORK [--report FILE]

Who they are is read from the record in the model file. Scans are also worsened, as scanners and
people do, so that there are bad segmentations to be found: clean images of one study are all
segmented about equally well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.stats import pearsonr, spearmanr

from benchmarks.running import make_parser, write_report
from bids_film.domain.scan import Scan
from bids_film.domain.volume import Volume
from bids_film.images.measures import dice
from bids_film.inference.engine import Engine
from bids_film.inputs.nifti import read_volume
from bids_film.models import find_model
from bids_film.training.labels import read_reference
from bids_film.training.recipe import recipe_from_dict

SEED = 20
BAD_DICE = 0.7
NOISE = (0.2, 0.4, 0.8)
BLUR_MM = (2.0, 4.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """What was done to an image."""

    name: str
    noise: float = 0.0
    blur_mm: float = 0.0
    bias: float = 0.0
    inverted: bool = False

    def apply(self, volume: Volume, rng: np.random.Generator) -> Volume:
        """Invert, blur, shade and add noise, in parts of the range of intensities."""
        data = volume.data.astype(np.float32)
        span = float(np.percentile(data, 99) - np.percentile(data, 1))
        if self.inverted:
            data = data.max() - data
        if self.blur_mm:
            data = gaussian_filter(data, self.blur_mm / np.array(volume.grid.spacing_mm))
        if self.bias:
            ramp = np.linspace(-self.bias, self.bias, data.shape[1], dtype=np.float32)
            data = data * (1 + ramp)[None, :, None]
        data = data + rng.normal(0, self.noise * span, data.shape).astype(np.float32)
        return replace(volume, data=data)


DAMAGES = (
    Damage(name="as it is"),
    *(Damage(name=f"noise {100 * level:.0f} %", noise=level) for level in NOISE),
    *(Damage(name=f"blur {width:g} mm", blur_mm=width) for width in BLUR_MM),
    Damage(name="shaded by 90 %", bias=0.9),
    Damage(name="dark for bright", inverted=True),
)


def main() -> None:
    """Measure, and print the table."""
    arguments = make_parser(__doc__, model="hippocampus").parse_args()
    engine = Engine.load(find_model(arguments.model), device="cpu", threads=1)
    rows = pd.DataFrame(list(measure(engine, arguments.dataset)))
    arguments.work.mkdir(parents=True, exist_ok=True)
    rows.to_csv(arguments.work / "uncertainty.tsv", sep="\t", index=False)
    script = "hippocampus/uncertainty.py"
    write_report(arguments.report, describe(rows, arguments.model), arguments.model, script=script)


def measure(engine: Engine, dataset: Path) -> Iterator[dict[str, object]]:
    """Segment each person's scan, as it is and worsened."""
    record = engine.header.training
    recipe = recipe_from_dict(record["recipe"], where="recipe of the model")
    for number, entry in enumerate(record["data"]["validation"]):
        path = dataset / entry["scan"]
        scan = Scan(
            path=path,
            dataset_root=dataset,
            entities={"sub": path.name.split("_")[0].removeprefix("sub-")},
            suffix="T1w",
            datatype="anat",
        )
        volume = read_volume(path)
        reference = read_reference(scan, recipe.structures, volume.grid, read=read_volume).labels
        encoded = engine.header.encoder.encode({"InPlaneVoxelSize": 1.0, "SliceSpacing": 1.0})
        for damage in DAMAGES:
            worse = damage.apply(volume, np.random.default_rng([SEED, number]))
            found = engine.predict(worse, encoded, uncertainty=True)
            for structure in engine.header.labels:
                own = engine.header.labels.indices_of(structure.name)
                target = recipe.label_table.indices_of(structure.name)
                sure = found.confidence[structure.name]
                yield {
                    "scan": entry["scan"],
                    "damage": damage.name,
                    "structure": structure.name,
                    "dice": dice(np.isin(found.labels, own), np.isin(reference, target)),
                    "expected_dice": sure.expected_dice,
                    "entropy": sure.entropy,
                    "reached_dice": engine.header.reached_dice[structure.name],
                }


def describe(rows: pd.DataFrame, model: str) -> str:
    """Write the tables in Markdown."""
    people = rows["scan"].nunique()
    found = rows.dropna(subset=["expected_dice"])
    lines = [
        "# How well the network's own figures track the real Dice",
        "",
        f"{people} people who were kept out of the training of the model {model}; their scans",
        f"chose the step that was kept. Each as it is, and worsened in {len(DAMAGES) - 1} ways.",
        f"{len(rows) - len(found)} of {len(rows)} structures were not found, which the report says",
        "by another check; the figures are over the others. Correlations with the real Dice over",
        "scans: rank (Spearman) and linear (Pearson).",
        "",
        "| scans | structure | n | Dice | expected Dice | rank | linear | rank of entropy |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    clean = found[found["damage"] == DAMAGES[0].name]
    for name, chosen in (("as they are", clean), ("all", found)):
        for structure, own in chosen.groupby("structure"):
            figures = (
                own["dice"].mean(),
                own["expected_dice"].mean(),
                spearmanr(own["expected_dice"], own["dice"]).statistic,
                pearsonr(own["expected_dice"], own["dice"]).statistic,
                spearmanr(own["entropy"], own["dice"]).statistic,
            )
            cells = " | ".join(f"{value:.3f}" for value in figures)
            lines.append(f"| {name} | {structure} | {len(own)} | {cells} |")
    lines += ["", *describe_damages(found), "", *describe_flag(found), ""]
    return "\n".join([*lines, f"Seed of the noise {SEED}."])


def describe_damages(rows: pd.DataFrame) -> list[str]:
    """Write the means for each way of worsening."""
    lines = ["| scans | Dice | expected Dice | entropy |", "| --- | --- | --- | --- |"]
    for damage in DAMAGES:
        own = rows[rows["damage"] == damage.name][["dice", "expected_dice", "entropy"]].mean()
        cells = " | ".join(f"{value:.3f}" for value in own)
        lines.append(f"| {damage.name} | {cells} |")
    return lines


def describe_flag(rows: pd.DataFrame) -> list[str]:
    """Say what the report's flag finds."""
    bad, flagged = rows["dice"] < BAD_DICE, rows["expected_dice"] < rows["reached_dice"]
    caught, wrong = int((bad & flagged).sum()), int((~bad & flagged).sum())
    return [
        "The report's flag (expected Dice below the real one of the validation scans) finds",
        f"{caught} of the",
        f"{int(bad.sum())} structures whose real Dice is below {BAD_DICE:g}, and {wrong} of the",
        f"{int((~bad).sum())} others. These are the validation scans.",
    ]


if __name__ == "__main__":
    main()
