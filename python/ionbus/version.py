"""Which ionbus this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _installed() -> str:
    try:
        return version("ionbus")
    except PackageNotFoundError:  # run from a source tree
        return "0.0.0"


VERSION: Final = _installed()
AGENT: Final = f"ionbus-py/{VERSION}"
"""Told to the other side, for its log."""
