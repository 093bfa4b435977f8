"""Which of nipype's plugins the user wants, and what it is told; free of nipype itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml  # its stubs are a package of their own

from bids_film.domain.errors import UsageError

LOCAL_PLUGINS = ("Linear", "MultiProc")
CLUSTER_PLUGINS = ("SLURM", "PBS", "SGE", "LSF", "Condor", "OAR")
"""Those that wait for their jobs; nipype's graph plugins return before there is any result."""


def read_plugin_file(path: Path) -> tuple[str, dict[str, Any]]:
    """Read nipype's plugin and its arguments from a YAML file; nothing in it is run.

    Raises
    ------
    UsageError
        Where the file cannot be read, or names no plugin that can be used.
    """
    example = "a plugin file holds: plugin: SLURM, and below it plugin_args: {sbatch_args: …}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the plugin file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the plugin file {path} is not YAML: {error}", hint=example) from error
    if not isinstance(content, dict) or not set(content) <= {"plugin", "plugin_args"}:
        raise UsageError(f"{path} is not a plugin file", hint=example)
    name, arguments = content.get("plugin"), content.get("plugin_args") or {}
    if name not in (*LOCAL_PLUGINS, *CLUSTER_PLUGINS) or not isinstance(arguments, dict):
        known = ", ".join((*LOCAL_PLUGINS, *CLUSTER_PLUGINS))
        raise UsageError(f"{path}: plugin {name!r} cannot be used; known: {known}", hint=example)
    processes = arguments.get("n_procs", 1)
    if not isinstance(processes, int) or processes < 1:
        raise UsageError(f"{path}: expected n_procs of at least 1, got {processes!r}", hint=example)
    return name, arguments
