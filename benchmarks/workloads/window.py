"""Calls from a page in an Electron window: to Electron's main process, and to Python.

What it is measured beside, each with the same payload:

- `ipc-invoke`, `ipc-send`: Electron's own, to main and back, through a contextBridge;
- `port-echo`: a bare MessagePort to main and back;
- `raw-port`: the same way that ionbus takes over a port, main between a bare port and a bare pipe to Python, where the payload
  is validated: no names, no numbers, no acknowledgements;
- `raw-websocket`: a bare WebSocket from the page to the same server.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.payloads import PAYLOADS
from benchmarks.record import Record, record
from benchmarks.systems import System
from benchmarks.turns import Figures, take_turns
from benchmarks.window.electron import Window
from benchmarks.workloads.base import Effort
from benchmarks.workloads.traffic import MEDIAN, P99, RATE, Metric

SYSTEMS = (
    "ipc-invoke",
    "ipc-send",
    "port-echo",
    "raw-port",
    "raw-websocket",
    "ionbus-port",
    "ionbus-websocket",
)
REFERENCES = ("ipc-invoke", "raw-port", "raw-websocket")
"""What the others' figures are divided by."""


@dataclass(frozen=True)
class WindowCalls:
    """So many calls under way at any time.

    Args:
        name: what records call it.
        metrics: what is recorded of it.
        width: how many.
    """

    name: str
    metrics: tuple[Metric, ...]
    width: int = 1
    systems: tuple[str, ...] = ()

    def measure(self, systems: Sequence[System], effort: Effort) -> list[Record]:
        """Measure all of `SYSTEMS`, which have one window."""
        payload = PAYLOADS["150B"]
        job = {"kind": payload.kind, "payload": payload.make(), "width": self.width}
        with Window(effort.loop) as window:

            def run(system: str, count: int) -> Figures:
                return window.run(system, "call", count=count, **job)

            runs = {system: partial(run, system) for system in SYSTEMS}
            turns = take_turns(
                runs, effort.rounds, effort.seconds, at_least=20 * self.width, warm_up=effort.warm_up
            )
        return [
            record(
                self.name,
                system,
                payload.name,
                metric.name,
                metric.unit,
                [metric.of(figures, count) for figures, count in rounds],
            )
            for system, rounds in turns.items()
            for metric in self.metrics
        ]


WINDOW_CALL = WindowCalls("window-call", (MEDIAN, P99))
WINDOW_CALL_64 = replace(WINDOW_CALL, name="window-call-64", metrics=(RATE,), width=64)

WINDOW = (WINDOW_CALL.name, WINDOW_CALL_64.name)
"""What needs Electron, and a screen."""
