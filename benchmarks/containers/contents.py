"""Print what makes up the image, largest first.

python -m benchmarks.containers.contents [--image bids-film] [--write]
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections import Counter
from pathlib import PurePath

from benchmarks.pages import write_section
from benchmarks.provenance import describe_run

_PACKAGES = "/opt/venv/lib/python3*/site-packages/*"
_AT_LEAST_MB = 20


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default="bids-film")
    parser.add_argument("--write", action="store_true", help="put the table into containers.md")
    given = parser.parse_args()
    image = given.image
    size_mb = measure_image(image)
    parts = measure_parts(image)
    large = {name: size for name, size in parts.most_common() if size >= _AT_LEAST_MB}
    rows = large | {"all else": size_mb - sum(large.values()), "the image": size_mb}
    lines = ["| part | MB |", "| --- | --- |", *(f"| {n} | {mb:.0f} |" for n, mb in rows.items())]
    text = "\n".join([*lines, "", describe_run("containers/contents.py")])
    print(text)
    if given.write:
        write_section("containers.md", "contents", text)


def measure_image(image: str) -> float:
    """Measure an image in MB."""
    return float(json.loads(_run("docker", "image", "inspect", image))[0]["Size"]) / 1e6


def measure_parts(image: str) -> Counter[str]:
    """Measure the packages, the program, and Debian with its Python, in MB."""
    places = f"{_PACKAGES} /opt/bids_film /usr /var /etc"
    start = ["docker", "run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "sh"]
    lines = _run(*start, image, "-c", f"du -s --block-size=1 --apparent-size {places}").splitlines()
    parts: Counter[str] = Counter()
    for line in lines:
        size, _, place = line.partition("\t")
        parts[_name_part(PurePath(place))] += int(size) / 1e6  # type: ignore[assignment]
    return parts


def _name_part(place: PurePath) -> str:
    if place.parts[1] != "opt":
        return "Debian with its Python"
    if "site-packages" not in place.parts:
        return "bids_film with its models"
    return place.name.removesuffix(".libs")


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
