from __future__ import annotations

import os
import signal

import pytest

from bids_film.workflow.processes import Terminated, terminable


class StruckWhileNamed:
    """A descriptor that the signal meets while its class is made, as in any import."""

    def __set_name__(self, owner: type, name: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_is_a_signal_also_while_a_class_is_made() -> None:
    """Until Python 3.12 it comes out wrapped in a RuntimeError."""
    with pytest.raises(Terminated), terminable():
        type("Owner", (), {"part": StruckWhileNamed()})


def test_other_errors_come_out_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="of its own"), terminable():
        raise RuntimeError("of its own")
