"""What finer voxels, or a wider network, cost and gain: the bundled brain model, trained on so.

    python -m benchmarks.brain.variants BRAIN_SAMPLES WORK --label-maps DATASET [--report FILE]

Trains on from the bundled model with its recipe, but for `VARIANTS`, unless WORK holds those
models already; then all segment the real scans of `benchmarks.brain.real_scans`, and one whole head
of 1 mm against the clock. DATASET is what `benchmarks.brain.make_label_dataset` makes.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import torch

from benchmarks.brain.real_scans import CONTRASTS, Found, measure
from benchmarks.performance.timing import take_best
from benchmarks.running import change_recipe, make_parser, run_program, write_report
from bids_film.inference.engine import Engine, has_bfloat16
from bids_film.inputs.nifti import read_volume
from bids_film.model.header import read_header
from bids_film.models import find_model

VARIANTS = {
    "finer": {
        "spacing_mm = [2.0, 2.0, 2.0]": "spacing_mm = [1.6, 1.6, 1.6]",
        "patch = [64, 80, 64]": "patch = [80, 96, 80]",
        "steps = 4000": "steps = 4400",
        "validate_every = 500": "validate_every = 400",
    },
    "wider": {
        "channels = [16, 32, 64, 128]": "channels = [16, 48, 96, 192]",
        "steps = 4000": "steps = 6500",
        "warm_up = 50": "warm_up = 100",
    },
}
"""What is other in the bundled model's recipe."""
ABOUT = (
    "Steps and minutes are those of the last training alone. Dice on synthetic scans is the mean "
    "over the validation heads, at the model's own voxels. Mean Dice of all structures of "
    "sub-vxm01, in brackets what its labels reach by their shares in such voxels; of the large "
    "structures between contrasts of one brain; and with the tissue masks of the MNI152 template: "
    "see [real scans](brain.md). Seconds are from the template's voxels to its labels, in {}."
)


def main() -> None:
    """Train what is missing, measure all, print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--label-maps", type=Path, required=True)
    parser.add_argument("--threads", default="2")
    arguments = parser.parse_args()
    models = {"bundled": find_model("brain")}
    models |= {name: train(name, arguments) for name in VARIANTS}
    titles = ["voxels", "channels", "steps", "minutes", "synthetic", "sub-vxm01 (of shares)"]
    titles += [f"{one}, {other}" for one, other in itertools.combinations(CONTRASTS, 2)]
    titles += ["gray matter", "white matter", "seconds"]
    lines = [
        "# The brain model at finer voxels, and wider",
        "",
        ABOUT.format(find_precision()),
        "",
        f"| {' | '.join(titles)} |",
        f"|{' --- |' * len(titles)}",
    ]
    for name, path in models.items():
        work = arguments.work / f"{name}-scans"
        found = measure(arguments.dataset, work, str(path))
        lines.append(describe_row(path, found, time_head(path, work)))
    write_report(
        arguments.report, "\n".join([*lines, ""]), *map(str, models.values()),
        script="brain/variants.py",
    )  # fmt: skip


def train(name: str, arguments: argparse.Namespace) -> Path:
    """Train a variant, unless it has been; gives the model file."""
    model: Path = arguments.work / name / "brain.safetensors"
    if not model.exists():
        recipe = model.with_name("recipe.toml")
        recipe.parent.mkdir(parents=True, exist_ok=True)
        recipe.write_text(change_recipe("brain", VARIANTS[name]), encoding="utf-8")
        options = ["--config-file", str(recipe), "--omp-nthreads", arguments.threads]
        run_program(arguments.label_maps, model.parent, "train", *options)
    return model


def find_precision() -> str:
    """Choose one precision for both: only of a bundled model it is known what bfloat16 does."""
    return "bf16" if has_bfloat16(torch.device("cpu")) else "fp32"


def time_head(model: Path, work: Path) -> float:
    """Seconds from the voxels of the MNI152 template to its labels."""
    engine = Engine.load(model, device="cpu", precision=find_precision())
    (path,) = (work / "mni152" / "bids").glob("sub-*/anat/*_T1w.nii.gz")
    volume, encoded = read_volume(path), engine.header.encoder.encode({})
    return take_best(lambda: engine.predict(volume, encoded))


def describe_row(model: Path, found: Found, seconds: float) -> str:
    """Write a model's line of the table."""
    header = read_header(model)
    training, (dice, *others) = header.training, found.average().values()
    cells = [
        f"{found.spacing_mm:g} mm",
        ", ".join(map(str, header.network.channels)),
        training["steps"],
        training["minutes"],
        f"{max(row['dice'] for row in training['curve']):.3f}",
        f"{dice:.3f} ({found.against['coarse'].mean():.3f})",
        *(f"{value:.3f}" for value in others),
        f"{seconds:.2f}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
