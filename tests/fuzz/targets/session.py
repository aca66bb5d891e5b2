"""The session engine against a peer whose frames are well formed and lie: numbers, ids, totals, sizes, types, nesting."""

from __future__ import annotations

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.scripts import session_script


def run(data: bytes) -> Outcome:
    """One conversation; each frame of the peer is an input."""
    steps = session_script(Choices(data))
    received = [step for step in steps if step["do"] == "receive"]
    label = []
    for step in received[-2:]:
        for given in step["gives"][-2:]:
            code = given.get("violation") or given.get("code")
            label += [str(code or f"message {given.get('message', '')[2:4]}")]
    return Outcome(f"{' '.join(label)} of {min(len(received), 9)}", len(received))


def target() -> Target:
    """See the module."""
    return Target("session", run, tuple(corpus("session").values()), longest=600)
