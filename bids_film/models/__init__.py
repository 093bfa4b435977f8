"""The bundled models: one folder each with weights, training recipe and card; and how one is found.

A name is looked up in the folders of ``BIDS_FILM_MODELS`` first, then among the bundled ones.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from bids_film.domain.errors import ModelFileError

WEIGHTS_NAME = "model.safetensors"
_BUNDLED = Path(__file__).parent


def list_models(environment: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """Name to model file of every model that is installed.

    Parameters
    ----------
    environment : Mapping[str, str]
        ``BIDS_FILM_MODELS`` in it names further folders, separated as in ``PATH``; a folder holds
        ``NAME/model.safetensors`` or ``NAME.safetensors``. Theirs come before the bundled ones.
    """
    own = [
        Path(entry) for entry in environment.get("BIDS_FILM_MODELS", "").split(os.pathsep) if entry
    ]
    found: dict[str, Path] = {}
    for folder in [_BUNDLED, *reversed(own)]:
        found |= {path.parent.name: path for path in sorted(folder.glob(f"*/{WEIGHTS_NAME}"))}
        files = sorted(folder.glob("*.safetensors"))
        found |= {path.stem: path for path in files if not path.stem.endswith(".state")}
    return found


def find_model(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Find a model by its name, or take it as a path where it looks like one.

    Raises
    ------
    ModelFileError
        Where there is no such model; the message names the nearest one.
    """
    models = list_models(environment)
    if name in models:
        return models[name]
    path = _find_file(name)
    if path is not None:
        return path
    if name.endswith(".safetensors") or os.sep in name:
        raise ModelFileError(
            f"no model file at {name}", hint="give the path of a .safetensors file made by `train`"
        )
    near = difflib.get_close_matches(name, models, n=1)
    raise ModelFileError(
        f"no model is named {name!r}; there are: {', '.join(sorted(models)) or 'none'}",
        hint=f"did you mean {near[0]!r}?" if near else "give one of these names, or a model file",
    )


def _find_file(name: str) -> Path | None:
    try:
        path = Path(name).expanduser()
        return path.resolve() if path.is_file() else None
    except (OSError, RuntimeError):  # a name too long for a file, or the home of a stranger
        return None
