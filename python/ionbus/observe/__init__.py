"""What a broker does and how it stands: `broker.metrics()`, `broker.health()`, and their exporters (docs/observability.md)."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from ionbus.observe.health import Health as Health, HealthBounds as HealthBounds, Problem as Problem
    from ionbus.observe.metrics import Distribution as Distribution, Metrics as Metrics, Number as Number

_LATER = {
    "Distribution": "ionbus.observe.metrics",
    "Health": "ionbus.observe.health",
    "HealthBounds": "ionbus.observe.health",
    "Metrics": "ionbus.observe.metrics",
    "Number": "ionbus.observe.metrics",
    "Problem": "ionbus.observe.health",
}
"""Imported when it is first asked for: a broker that nobody asks needs none of it."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'ionbus.observe' has no attribute {name!r}")
    found: object = getattr(_import_module(_LATER[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
