"""What `ionbus.testing.Faults` has in store for frames, to record or to compare (schemas/vectors/fates.json)."""

from __future__ import annotations

from typing import Any, Final, cast

from ionbus.testing.faults import Direction, Faults, Settings
from vectors.replay import FOLDER

FATES: Final = FOLDER / "fates.json"

MIXED: Final = {
    "drop": 0.05,
    "cut": 0.05,
    "duplicate": 0.1,
    "truncate": 0.1,
    "flip": 0.1,
    "stall": 0.1,
    "half_open": 0.05,
}
FATE_CASES: Final[tuple[dict[str, Any], ...]] = (
    {"name": "mixed", "seed": 7, "channel": 1, "direction": "to_broker", "settings": MIXED},
    {"name": "the other direction", "seed": 7, "channel": 1, "direction": "to_client", "settings": MIXED},
    {"name": "the next channel", "seed": 7, "channel": 2, "direction": "to_broker", "settings": MIXED},
    {"name": "another seed", "seed": 4294967295, "channel": 1, "direction": "to_broker", "settings": MIXED},
    {
        "name": "some pass first",
        "seed": 0,
        "channel": 1,
        "direction": "to_client",
        "settings": {"flip": 1.0, "after": 3},
    },
    {"name": "lateness", "seed": 3, "channel": 1, "direction": "to_broker", "settings": {"jitter": 1.0}},
    {
        "name": "one direction",
        "seed": 3,
        "channel": 1,
        "direction": "to_broker",
        "settings": {"drop": 1.0, "directions": ["to_client"]},
    },
)


def record_fates(case: dict[str, Any]) -> dict[str, Any]:
    """A case with the fates of its first frames: the fault, where in the frame, and how late by the unit of `jitter`."""
    faults = Faults(seed=case["seed"])
    faults.set(**cast(Settings, case["settings"]))
    plan = faults.plan(case["channel"], cast(Direction, case["direction"]))
    fates = [plan.next() for _ in range(12)]
    return {**case, "fates": [[fate.fault, fate.at, fate.delay] for fate in fates]}
