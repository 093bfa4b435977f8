"""Templates beside this module, filled in without letting a dataset's text become markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import jinja2


def make_environment(filters: Mapping[str, Callable[..., Any]]) -> jinja2.Environment:
    """Make an environment that escapes all text and refuses undefined names."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment


@cache
def plain_environment() -> jinja2.Environment:
    """Environment of the templates that need no filters; it keeps what it compiled."""
    return make_environment({})


@cache
def read_asset(name: str) -> str:
    """Read a template, a style or a script."""
    return (resources.files("bids_film.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def read_library(name: str) -> str:
    """Read a library of others, see ``vendor/README.md``."""
    return (resources.files("bids_film.report") / "vendor" / name).read_text(encoding="utf-8")


@cache
def pack_viewer() -> str:
    """Write the 3-D viewer as it stands in a page: gzipped, base64."""
    packed = (resources.files("bids_film.report") / "vendor" / "niivue.min.js.gz").read_bytes()
    return base64.b64encode(packed).decode("ascii")


def write_policy(*scripts: str, frames: str = "'none'") -> str:
    """Write a content security policy: these scripts run, and nothing is fetched from anywhere.

    A second lock behind escaping: were a dataset's text ever to become markup, the browser would
    not run it. ``blob:`` is what the viewer is unpacked into.
    """
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed} blob:; style-src 'unsafe-inline'; "
        f"img-src data: blob:; connect-src data: blob:; worker-src blob:; frame-src {frames}"
    )
