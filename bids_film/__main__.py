"""``python -m bids_film``: the same as the ``bids-film`` command."""

from __future__ import annotations

import sys

from bids_film.cli.main import entry_point

if __name__ == "__main__":
    sys.exit(entry_point())
