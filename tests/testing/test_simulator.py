"""The simulator finds what is broken, cuts it down, and hands it on as a vector; and it is deterministic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast

import pytest

from ionbus.session.acceptor import Acceptor
from ionbus.session.attended import Attended
from ionbus.session.connection import Connection
from ionbus.session.liveness import Liveness
from ionbus.session.outbox import Entry, Outbox
from ionbus.session.replay import Replay
from ionbus.session.session import Session
from ionbus.session.transfers import Incoming
from ionbus.testing.simulator import Broken, Plan, Simulation, as_vector, draw, shrink
from vectors.replay import record_simulated

Plant = Callable[[pytest.MonkeyPatch], None]


def failing(seeds: int = 400) -> tuple[Plan, Broken]:
    """The first seed that finds something."""
    for seed in range(seeds):
        plan = draw(seed)
        broken = Simulation(plan).run()
        if broken is not None:
            return plan, broken
    pytest.fail(f"{seeds} seeds find nothing")


def forget_first(patch: pytest.MonkeyPatch) -> None:
    """After a cut, the first element that the other side lacks is not sent again."""
    rewind = Replay.rewind

    def broken(self: Replay, received: int) -> list[Entry]:
        dropped = rewind(self, received)
        if self.is_resending:
            self.take_again()
        return dropped

    patch.setattr(Replay, "rewind", broken)


def offer_another(patch: pytest.MonkeyPatch) -> None:
    """A client whose WELCOME was lost offers another fresh session than before."""
    hello = Connection._hello

    def broken(self: Connection) -> bytes:
        self._fresh = None
        return hello(self)

    patch.setattr(Connection, "_hello", broken)


PLANTED: dict[str, Plant] = {
    "the first element is not sent again after a cut": forget_first,
    "new elements leave before those that are sent again": lambda patch: patch.setattr(
        Replay, "is_resending", False
    ),
    "what becomes nil costs credit for ever": lambda patch: patch.setattr(
        Replay, "rewind", lambda self, received, rewind=Replay.rewind: rewind(self, received) and []
    ),
    "credit is not asked for": lambda patch: patch.setattr(Session, "_has_credit", lambda _: True),
    "what is consumed renews no credit": lambda patch: patch.setattr(Session, "tell_credit", lambda _: None),
    "what follows a transfer is not held": lambda patch: patch.setattr(Outbox, "hold", lambda *_: None),
    "a latest event does not take its predecessor's place": lambda patch: patch.setattr(
        Outbox, "replace", lambda *_: None
    ),
    "the replay buffer has no bound": lambda patch: patch.setattr(Replay, "is_full", False),
    "an aborted transfer is kept": lambda patch: patch.setattr(Incoming, "abort", lambda *_: None),
    "silence is not noticed": lambda patch: patch.setattr(Liveness, "tick", lambda *_: None),
    "the secret that was used is good no more": lambda patch: patch.setattr(
        Attended, "admits", lambda self, secret: secret == self._next_secret
    ),
    "a session is absent for ever": lambda patch: patch.setattr(Attended, "age", lambda *_: None),
    "all ended sessions are remembered": lambda patch: patch.setattr(
        Acceptor, "_forget_ended", lambda *_: None
    ),
    "another fresh session is offered with each HELLO": offer_another,
    "lost events are not counted": lambda patch: patch.setattr(Session, "unacknowledged_events", 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_finds_a_planted_bug_and_cuts_it_down(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    plan, broken = failing()
    small = shrink(plan, runs=300)
    found = Simulation(small).run()
    assert found is not None
    assert found.rule == broken.rule
    assert len(small.steps) <= 20
    monkeypatch.undo()
    assert Simulation(small).run() is None


@pytest.mark.parametrize("role", ["client", "broker"])
def test_a_shrunk_failure_becomes_a_vector_that_tells_the_bug(
    role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_first(monkeypatch)
    culprits = ((draw(seed), Simulation(draw(seed)).run()) for seed in range(400))
    plan = next(plan for plan, broken in culprits if broken is not None and broken.culprit.startswith(role))
    inputs = as_vector(shrink(plan), "found by the simulator")
    assert inputs["of"] == {"client": "connection", "broker": "session"}[role]
    with_bug = record_simulated(inputs)
    monkeypatch.undo()
    vector = record_simulated(inputs)
    assert vector != with_bug
    assert len(vector["steps"]) < 40
    assert record_simulated(json.loads(json.dumps(vector))) == vector


def test_an_exception_of_an_engine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(Session, "withdraw", fail)
    _, broken = failing()
    assert broken.rule == "raised KeyError"


def test_a_plan_survives_json() -> None:
    plan = draw(11)
    assert Plan.from_json(cast("dict[str, Any]", json.loads(json.dumps(plan.to_json())))) == plan


PROGRAM = """
import hashlib
from ionbus.testing.simulator import Simulation, draw
for seed in range(20):
    told = hashlib.sha256()
    class Follower:
        def took(self, given, gives, effects): told.update(repr((given, gives)).encode())
        def frame(self, frame, now): told.update(repr((frame, now)).encode()); return frame
    simulation = Simulation(draw(seed), lambda *_: Follower(), lambda *_: Follower())
    print(seed, simulation.run(), simulation.steps, told.hexdigest())
"""


def test_one_seed_is_one_run_in_every_process() -> None:
    runs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(runs) == 1


def test_what_does_not_fail_cannot_be_shrunk() -> None:
    with pytest.raises(ValueError, match="does not fail"):
        shrink(draw(0))
