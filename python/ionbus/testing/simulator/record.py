"""What one engine was asked in a simulation, as a vector that both implementations replay (schemas/vectors/simulated.json)."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Final, Literal, Protocol

from ionbus.generated.protocol import Limits
from ionbus.session.connection import ConnectionEffect
from ionbus.testing.simulator.engines import Input, as_step
from ionbus.testing.simulator.plan import Plan
from ionbus.testing.simulator.shrink import Simulate, failing, shrink
from ionbus.testing.simulator.simulation import Simulation
from ionbus.testing.simulator.world import FollowClient, FollowSession


class SimulateFollowed(Protocol):
    """`Simulation`, or what makes one that has more engines take part."""

    def __call__(
        self, plan: Plan, follow_client: FollowClient = ..., follow_session: FollowSession = ..., /
    ) -> Simulation: ...


_OTHER_SEEDS: Final = 300
"""How many seeds are tried where a failure does not outlast the randomness of the vectors."""

_CALM: Final = 1_000.0
"""Milliseconds after the last fault that belong to a vector: what waits for ever is of no use."""


class Recording:
    """Follows one engine.

    Args:
        of: a session's frames are steps of their own; a connection's belong to the step before them.
    """

    def __init__(self, of: Literal["session", "connection"]) -> None:
        self._of = of
        self.steps: list[Input] = []

    def took(self, given: Input, gives: object, effects: list[ConnectionEffect]) -> None:
        """The engine has taken an input."""
        step = as_step(given)
        self.steps.append(step if self._of == "session" else {**step, "count": 0})

    def frame(self, frame: bytes | None, now: float) -> bytes | None:
        """It gave a frame, or none. `count` says how many are taken; without it, all are."""
        step: Input = self.steps[-1] if self.steps else {}
        is_drained = "count" not in step and (self._of == "connection" or step.get("do") == "frames")
        if frame is None and is_drained and step.get("at") == now:
            return None
        may_go_on = step.get("at") == now and "count" in step
        if not may_go_on or (self._of == "session" and step["do"] != "frames"):
            step = {"at": now, "do": "frames" if self._of == "session" else "nothing", "count": 0}
            self.steps.append(step)
        if frame is None:
            del step["count"]
        else:
            step["count"] += 1
        return frame


def as_vector(
    plan: Plan, name: str, *, culprit: str = "", simulate: SimulateFollowed = Simulation
) -> dict[str, Any]:
    """A failing plan as the inputs of one engine; what they give is recorded once the engine is right.

    Args:
        plan: one that fails, shrunk or not.
        name: of the vector.
        culprit: whose engine, as "client 0" or "broker 0"; by default whose was found.
        simulate: makes the simulation of a plan, with followers of clients and sessions.

    Raises:
        ValueError: the plan does not fail, or only with the randomness of the simulation, which vectors do not have.
    """
    broken = failing(plan, simulate)
    role, _, number = (culprit or broken.culprit).partition(" ")
    index = int(number)
    if role == "client":
        plan = _with_plain_chance(plan, broken.rule, index, simulate)
    recordings: list[Recording] = []

    def record(of: Literal["session", "connection"], whose: int) -> Recording | None:
        if whose != index or (role == "client") != (of == "connection"):
            return None
        recordings.append(Recording(of))
        return recordings[-1]

    simulation = simulate(
        plan, lambda whose, *_: record("connection", whose), lambda whose, _: record("session", whose)
    )
    simulation.run()
    until = simulation.calm_since + _CALM
    defaults = asdict(Limits())
    limits = asdict(plan.limits("client" if role == "client" else "broker"))
    return {
        "name": name,
        "of": "connection" if role == "client" else "session",
        "limits": {key: value for key, value in limits.items() if value != defaults[key]},
        "steps": [step for step in recordings[-1].steps if step["at"] <= until],
    }


def _with_plain_chance(plan: Plan, rule: str, client: int, simulate: Simulate) -> Plan:
    """The plan, or one like it, that fails in the same way where this client's chance is that of the vectors."""
    for seed in range(plan.seed, plan.seed + _OTHER_SEEDS):
        candidate = replace(plan, seed=seed, plain_chance=client)
        broken = simulate(candidate).run()
        if broken is not None and broken.rule == rule:
            return shrink(candidate, simulate=simulate)
    raise ValueError(f"it does not break {rule} with the randomness of the vectors")
