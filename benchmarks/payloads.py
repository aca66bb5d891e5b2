"""What travels: messages of a workflow application, in five sizes.

Those of 20 B, 150 B and 5 KB are files beside this one, their names the rough size as msgpack. That of 1 MB is the result of
5 KB with more nodes, and 100 MB are bytes and have no model.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.models import KINDS, Kind

FOLDER = Path(__file__).parent / "payloads"


@dataclass(frozen=True)
class Payload:
    """One message.

    Args:
        name: its size in words, `150B`.
        kind: the name of its model.
        make: gives it as JSON has it.
    """

    name: str
    kind: str
    make: Callable[[], Any]  # JSON

    @property
    def model(self) -> Kind:
        return KINDS[self.kind]


def _from_file(name: str) -> Callable[[], Any]:
    return cache(lambda: json.loads((FOLDER / f"{name}.json").read_text("utf-8")))


@cache
def _large_result() -> Any:
    result = json.loads((FOLDER / "result-5KB.json").read_text("utf-8"))
    nodes = list(result["outputs"].values())
    size = len(json.dumps(nodes, separators=(",", ":")))
    result["outputs"] = {
        f"n{number}": nodes[number % len(nodes)] for number in range(1_000_000 * len(nodes) // size)
    }
    return result


PAYLOADS = {
    payload.name: payload
    for payload in (
        Payload("20B", "tick", _from_file("tick-20B")),
        Payload("150B", "progress", _from_file("progress-150B")),
        Payload("5KB", "result", _from_file("result-5KB")),
        Payload("1MB", "result", _large_result),
    )
}
"""By name."""

BYTES = {"1MB of bytes": 1_000_000, "100MB": 100_000_000}
"""How many bytes a payload of plain bytes has, by name."""
