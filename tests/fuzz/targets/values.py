"""Values made by a grammar of msgpack: nested to the bounds and beyond, repeated, with lying lengths."""

from __future__ import annotations

from fuzz import grammar
from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.targets import payload


def run(data: bytes) -> Outcome:
    """Make one, then as payload.py."""
    return payload.run(grammar.value(Choices(data)))


def target() -> Target:
    """See the module."""
    return Target("values", run, tuple(corpus("values").values()), longest=300)
