"""Run BABS on a SLURM of one's own, by the lines that docs/hpc.md prints.

    python -m benchmarks.containers.babs --programs ~/babs/bin [--sif bids-film.sif] [--write]

The MNI152 T1w template at 1 mm stands as two participants in a DataLad dataset. BABS gets
``singularity/babs.yaml`` with what the page calls yours: the dataset, the path of its programs, and
where jobs may write. What it merged is compared with outputs of the program without BABS.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.containers.jobs import LABEL
from benchmarks.demo.run import make_dataset
from benchmarks.pages import DOCS, write_section
from benchmarks.provenance import describe_run
from benchmarks.running import copy_participant

CONFIGURATION = DOCS.parent / "singularity" / "babs.yaml"
PARTICIPANTS = 2
IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "Someone"), ("EMAIL", "someone@example.org"))
}
VERSIONS = {
    "BABS": "babs --version",
    "DataLad": "datalad --version",
    "datalad-container": "datalad containers-add --version",
    "git-annex": "git-annex version --raw",
    "Apptainer": "apptainer --version",
    "SLURM": "sinfo --version",
}


def main() -> None:
    """Make the dataset, run the lines, compare, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--programs", type=Path, required=True, help="folder of babs and datalad")
    parser.add_argument("--sif", type=Path, default=Path("bids-film.sif"))
    parser.add_argument("--write", action="store_true", help="put the result into hpc.md")
    given = parser.parse_args()
    own = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.environ |= {"PATH": f"{given.programs.resolve()}:{own}", **IDENTITY}
    with tempfile.TemporaryDirectory(prefix="bids-film-babs-") as name:
        folder = Path(name)
        prepare(folder, given.sif, given.programs.resolve())
        run_lines(folder)
        text = describe(folder)
        subprocess.run(["chmod", "-R", "u+w", name], check=True)  # noqa: S607
    print(text)
    if given.write:
        write_section("hpc.md", "babs", text)


def prepare(folder: Path, sif: Path, programs: Path) -> None:
    """Make what the page's lines start from, and outputs to compare theirs with."""
    make_dataset(folder / "bids")
    copy_participant(folder / "bids", LABEL, PARTICIPANTS)
    run("bids-film bids direct participant --nprocs 1 --omp-nthreads 2", folder)
    run("datalad create --force -c text2git bids; datalad save -d bids", folder)
    (folder / "bids-film.sif").symlink_to(sif.resolve())
    (folder / "scratch").mkdir()
    content = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    content["input_datasets"]["BIDS"]["origin_url"] = str(folder / "bids")
    content["job_compute_space"] = str(folder / "scratch")
    exports = [f"export {key}={value}" for key, value in IDENTITY.items()]
    content["script_preamble"] = "\n".join([f'export PATH="{programs}:$PATH"', *exports])
    (folder / "babs.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def run_lines(folder: Path) -> None:
    """Run the page's two blocks, with a wait for the jobs between ``submit`` and ``merge``."""
    page = (DOCS / "hpc.md").read_text(encoding="utf-8")
    pattern = r"^    (?:datalad create containers|datalad clone \"ria).+?(?=\n\n)"
    start, results = re.findall(pattern, page, re.MULTILINE | re.DOTALL)
    submit, mark, merge = start.partition("    babs merge")
    run(submit, folder)
    while read("squeue --noheader --me"):
        time.sleep(1)
    run(mark + merge, folder)
    run(results, folder)


def describe(folder: Path) -> str:
    """Say what was run; end the program where outputs are not those of the program alone."""
    outputs = folder / "results" / "outputs" / "bids-film"
    merged, direct = hash_outputs(outputs), hash_outputs(folder / "direct")
    if merged != direct or not merged:
        raise SystemExit(f"the outputs are not those of the program alone: {sorted(merged)}")
    table = (outputs / "group_seg-brain.tsv").read_text(encoding="utf-8")
    if table.count("\tdone\t") != PARTICIPANTS:
        raise SystemExit(f"the group's table lacks participants:\n{table}")
    versions = [f"{name} {read(command)}" for name, command in VERSIONS.items()]
    return (
        f"Run by these lines for {PARTICIPANTS} participants with a whole head at 1 mm: label maps"
        " and tables are, byte for byte, those of\nthe program without BABS."
        f" {', '.join(versions)}.\n\n{describe_run('containers/babs.py', 'brain')}"
    )


def hash_outputs(root: Path) -> dict[str, str]:
    """Hash label maps and tables of all participants by their paths."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in ("sub-*/**/*_dseg.nii.gz", "sub-*/**/*_dseg.tsv")
        for path in sorted(root.glob(pattern))
    }


def run(lines: str, folder: Path) -> None:
    """Run lines of a shell; the first that fails ends this program."""
    if subprocess.run(["bash", "-ec", lines], cwd=folder, check=False).returncode:  # noqa: S607
        logs = sorted(folder.glob("project/analysis/logs/*.e*"))
        print(*(path.read_text(encoding="utf-8")[-2000:] for path in logs), sep="\n")
        raise SystemExit(f"failed: {lines}")


def read(command: str) -> str:
    """Give what a command prints; of a version only what is between name and hash."""
    said = subprocess.run(
        command.split(), capture_output=True, text=True, check=True
    ).stdout.strip()
    return said.split()[-1].partition("-g")[0].removeprefix("v") if said else ""


if __name__ == "__main__":
    main()
