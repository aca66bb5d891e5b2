"""Health: which facts are a problem, and the sentence that says so."""

from dataclasses import replace

import pytest

from ionbus.observe.health import Answered, Block, Consumer, Facts, HealthBounds, judge

WELL = Facts(now=1000.0, held_bytes=10, max_bytes=1_000)
EXECUTE = Answered("conductor.execute", is_stream=False, count=40, p99=0.02)
CRUNCH = "crunch() at flows/numbers.py:41"

PROBLEMS = {
    "a slow consumer": (
        {"consumers": [Consumer("session 3f2a91bc (renderer)", 4_096, 1_200_000, 12.0)]},
        "slow_consumer",
        "session 3f2a91bc (renderer) is a slow consumer: 4,096 events (1.2 MB) wait for it, and have for 12 s.",
    ),
    "a slow consumer that was ended": (
        {"consumers": [Consumer("session 3f2a91bc (renderer)", 0, 0, 5.0, "more than 16 events wait")]},
        "slow_consumer",
        "session 3f2a91bc (renderer) was ended 5.0 s ago, as a slow consumer: more than 16 events wait.",
    ),
    "a slow handler": (
        {"answered": [replace(EXECUTE, p99=2.44)]},
        "slow_handler",
        "conductor.execute takes 2.4 s at p99, of 40 calls.",
    ),
    "a handler past its deadlines": (
        {"answered": [replace(EXECUTE, timed_out=3)]},
        "slow_handler",
        "conductor.execute was not answered in time 3 of 40 times.",
    ),
    "a handler that hangs": (
        {"answered": [replace(EXECUTE, running=45.0)]},
        "hanging_handler",
        "conductor.execute has been under way for 45 s.",
    ),
    "a failing handler": (
        {"answered": [replace(EXECUTE, failed=3, incident="8c1f00aa91bc")]},
        "failing_handler",
        "conductor.execute failed 3 of 40 times, the last time as incident 8c1f00aa91bc.",
    ),
    "a failing listener": (
        {"failed_listeners": [("conductor.cancelled", 2)]},
        "failing_listener",
        "A listener of conductor.cancelled failed 2 times.",
    ),
    "a loop that was blocked": (
        {"blocks": [Block(988.0, 0.84, CRUNCH)]},
        "blocked_loop",
        f"The event loop was blocked for 840 ms by {CRUNCH}, 12 s ago.",
    ),
    "a loop that was blocked again and again": (
        {"blocks": [Block(988.0, 0.84, CRUNCH), Block(998.0, 0.2, CRUNCH)]},
        "blocked_loop",
        f"The event loop was blocked 2 times, at most for 840 ms by {CRUNCH}, 2.0 s ago.",
    ),
    "a loop that is blocked now": (
        {"blocked_since": Block(1000.0, 3.0, CRUNCH)},
        "blocked_loop",
        f"The event loop is blocked, for 3.0 s by now, by {CRUNCH}.",
    ),
    "memory": ({"held_bytes": 900}, "full_memory", "900 bytes of at most 1.0 KB are kept for clients."),
}


@pytest.mark.parametrize(("facts", "kind", "sentence"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_is_wrong_is_said(facts: dict[str, object], kind: str, sentence: str) -> None:
    health = judge(replace(WELL, **facts), HealthBounds())  # type: ignore[arg-type] # of several types
    assert [(problem.kind, problem.sentence) for problem in health.problems] == [(kind, sentence)]
    assert (health.is_well, health.summary) == (False, sentence)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"consumers": [Consumer("session 3f2a91bc", 40, 900, 1.0)]},
        {"consumers": [Consumer("session 3f2a91bc", 0, 0, 500.0, "more than 16 events wait")]},
        {"answered": [EXECUTE]},
        {"answered": [replace(EXECUTE, count=2, p99=3.0)]},
        {"answered": [replace(EXECUTE, is_stream=True, p99=30.0, running=600.0)]},
        {"blocks": [Block(10.0, 3.0, CRUNCH)]},
    ],
    ids=["nothing", "behind for a moment", "ended long ago", "fast", "too few", "a stream", "long ago"],
)
def test_what_is_not_wrong_is_not_said(facts: dict[str, object]) -> None:
    health = judge(replace(WELL, **facts), HealthBounds())  # type: ignore[arg-type] # of several types
    assert (health.is_well, health.summary, health.problems) == (True, "All is well.", [])


def test_bounds_are_the_users() -> None:
    facts = replace(WELL, answered=[replace(EXECUTE, p99=2.0)], blocks=[Block(988.0, 0.84, CRUNCH)])
    assert judge(facts, HealthBounds(slow_handler=5.0, blocked_loop=1.0)).is_well


def test_the_loop_comes_first() -> None:
    facts = replace(WELL, answered=[replace(EXECUTE, failed=1)], blocks=[Block(988.0, 0.84, CRUNCH)])
    assert [problem.kind for problem in judge(facts, HealthBounds()).problems] == [
        "blocked_loop",
        "failing_handler",
    ]
