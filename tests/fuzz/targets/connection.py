"""A client's connection against a hostile broker: WELCOME, CLOSE and DATA that are wrong, early, late or repeated."""

from __future__ import annotations

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.scripts import connection_script


def run(data: bytes) -> Outcome:
    """One conversation; each frame of the broker is an input."""
    steps = connection_script(Choices(data))
    states = list(dict.fromkeys(step["state"] for step in steps))
    codes = {effect.get("code", "") for step in steps for effect in step["effects"]}
    received = sum(step["do"] == "receive" for step in steps)
    return Outcome(f"{' '.join(states[:6])}: {' '.join(sorted(codes)[:4])}", received)


def target() -> Target:
    """See the module."""
    return Target("connection", run, tuple(corpus("connection").values()), longest=600)
