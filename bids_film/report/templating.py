"""Templates beside this module, filled in without letting a dataset's text become markup."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import jinja2


def make_environment(filters: Mapping[str, Callable[..., Any]]) -> jinja2.Environment:
    """Make an environment that escapes all text and refuses undefined names."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_load_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment


def _load_template(name: str) -> str:
    return (resources.files("bids_film.report") / "templates" / name).read_text(encoding="utf-8")
