"""The errors a user can meet, each with the exit code that the process ends with."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process's exit code says."""

    DONE = 0
    SCANS_FAILED = 1
    USAGE = 2
    INPUT = 3


class BidsFilmError(Exception):
    """An error with a message that a user can act on.

    Parameters
    ----------
    message : str
        What was expected, what came, and which file it is about.
    hint : str
        What to do about it; empty where the message says so already.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.SCANS_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class UsageError(BidsFilmError):
    """An option, configuration or output folder that cannot be used."""

    exit_code = ExitCode.USAGE


class InputError(BidsFilmError):
    """A dataset or selection that cannot be used: nothing can run."""

    exit_code = ExitCode.INPUT


class ModelFileError(InputError):
    """A model that does not exist, is damaged, or is of a newer version."""


class MetadataError(InputError):
    """A metadata file or value that cannot be read as what it should be."""


class ScanError(BidsFilmError):
    """One scan that cannot be segmented; the others go on."""


class WorkerDiedError(ScanError):
    """The process that segmented a scan was killed, mostly for want of memory."""
