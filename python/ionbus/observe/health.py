"""What is wrong with a broker, in sentences. Pure: facts go in, problems come out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

ProblemKind = Literal[
    "not_served",
    "blocked_loop",
    "slow_consumer",
    "slow_handler",
    "hanging_handler",
    "failing_handler",
    "failing_listener",
    "full_memory",
]

RECENT: Final = 120.0
"""Seconds for which what has happened counts: handlers are looked at over the last one to two minutes."""

FEW: Final = 5
"""So many runs of a handler are too few for a p99."""


@dataclass(frozen=True, slots=True)
class HealthBounds:
    """From where on something is a problem.

    Args:
        slow_handler: seconds that a call's handler takes at p99, or that one is under way. Streams may take as long as they like.
        blocked_loop: seconds that the event loop was held up. It is not seen below 0.1.
        slow_consumer: seconds that events have waited for a client without the credit for them.
        full_memory: the share of `Limits.max_broker_bytes` that is kept for clients.
    """

    slow_handler: float = 1.0
    blocked_loop: float = 0.1
    slow_consumer: float = 2.0
    full_memory: float = 0.8


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: which of the things that are looked for.
        subject: what it concerns: a session's id, a call's or an event's name, a function and its line.
        sentence: all of it, in words.
    """

    kind: ProblemKind
    subject: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Health:
    """How a broker stands.

    Attributes:
        is_well: whether there is no problem.
        summary: the problems' sentences, or that there are none.
        problems: the most pressing first.
    """

    is_well: bool
    summary: str
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Block:
    """A time in which the loop did nothing but one thing.

    Attributes:
        ended: when it was over, on the loop's clock, in seconds.
        seconds: how long at least.
        where: the function that held it, and its file and line.
    """

    ended: float
    seconds: float
    where: str


@dataclass(frozen=True, slots=True)
class Consumer:
    """A session that is behind with its events, or was ended since it was."""

    session: str
    events: int
    bytes: int
    seconds: float
    ended: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The runs of one handler in the last minutes.

    Attributes:
        name: of the call or stream.
        is_stream: whether it is one.
        count: how many have ended.
        failed: of these, how many by an error that is not declared.
        timed_out: likewise, by their deadlines.
        p99: seconds.
        incident: the id under which the newest failure is in the log.
        running: seconds that the oldest has been under way; 0 where none is.
    """

    name: str
    is_stream: bool
    count: int
    failed: int = 0
    timed_out: int = 0
    p99: float = 0.0
    incident: str | None = None
    running: float = 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is looked at. `now` is on the loop's clock, in seconds, as are the times of blocks."""

    now: float
    held_bytes: int
    max_bytes: int
    consumers: Sequence[Consumer] = ()
    answered: Sequence[Answered] = ()
    failed_listeners: Sequence[tuple[str, int]] = ()
    blocks: Sequence[Block] = ()
    blocked_since: Block | None = None


NOT_SERVED: Final = Health(
    is_well=False,
    summary="The broker is not served.",
    problems=[Problem("not_served", "broker", "The broker is not served.")],
)


def judge(facts: Facts, bounds: HealthBounds) -> Health:
    """Say what is wrong."""
    problems = [
        *_blocked(facts, bounds),
        *_slow_consumers(facts, bounds),
        *_handlers(facts, bounds),
        *_listeners(facts),
        *_memory(facts, bounds),
    ]
    summary = " ".join(problem.sentence for problem in problems) or "All is well."
    return Health(is_well=not problems, summary=summary, problems=problems)


def _blocked(facts: Facts, bounds: HealthBounds) -> Iterator[Problem]:
    now = facts.blocked_since
    if now is not None and now.seconds >= bounds.blocked_loop:
        yield Problem(
            "blocked_loop",
            now.where,
            f"The event loop is blocked, for {_time(now.seconds)} by now, by {now.where}.",
        )
    by_place: dict[str, list[Block]] = {}
    for block in facts.blocks:
        if block.seconds >= bounds.blocked_loop and facts.now - block.ended <= RECENT:
            by_place.setdefault(block.where, []).append(block)
    for where, blocks in sorted(by_place.items(), key=lambda item: -sum(each.seconds for each in item[1])):
        longest = max(each.seconds for each in blocks)
        ago = _time(facts.now - max(each.ended for each in blocks))
        times = "" if len(blocks) == 1 else f"{len(blocks)} times, at most "
        sentence = f"The event loop was blocked {times}for {_time(longest)} by {where}, {ago} ago."
        yield Problem("blocked_loop", where, sentence)


def _slow_consumers(facts: Facts, bounds: HealthBounds) -> Iterator[Problem]:
    for each in sorted(facts.consumers, key=lambda consumer: -consumer.bytes):
        if each.ended is not None:
            if each.seconds <= RECENT:
                sentence = (
                    f"{each.session} was ended {_time(each.seconds)} ago, as a slow consumer: {each.ended}."
                )
                yield Problem("slow_consumer", each.session, sentence)
        elif each.seconds >= bounds.slow_consumer:
            sentence = (
                f"{each.session} is a slow consumer: {each.events:,} events ({_size(each.bytes)}) wait for it, "
                f"and have for {_time(each.seconds)}."
            )
            yield Problem("slow_consumer", each.session, sentence)


def _handlers(facts: Facts, bounds: HealthBounds) -> Iterator[Problem]:
    for each in facts.answered:
        if each.failed:
            under = "" if each.incident is None else f", the last time as incident {each.incident}"
            sentence = f"{each.name} failed {_share(each.failed, each.count)}{under}."
            yield Problem("failing_handler", each.name, sentence)
        if each.timed_out:
            sentence = f"{each.name} was not answered in time {_share(each.timed_out, each.count)}."
            yield Problem("slow_handler", each.name, sentence)
        if each.is_stream:
            continue
        if each.count >= FEW and each.p99 >= bounds.slow_handler:
            sentence = f"{each.name} takes {_time(each.p99)} at p99, of {each.count:,} calls."
            yield Problem("slow_handler", each.name, sentence)
        if each.running >= bounds.slow_handler and each.running > 2 * each.p99:
            sentence = f"{each.name} has been under way for {_time(each.running)}."
            yield Problem("hanging_handler", each.name, sentence)


def _listeners(facts: Facts) -> Iterator[Problem]:
    for name, count in facts.failed_listeners:
        times = "once" if count == 1 else f"{count:,} times"
        yield Problem("failing_listener", name, f"A listener of {name} failed {times}.")


def _memory(facts: Facts, bounds: HealthBounds) -> Iterator[Problem]:
    if facts.held_bytes >= facts.max_bytes * bounds.full_memory:
        sentence = f"{_size(facts.held_bytes)} of at most {_size(facts.max_bytes)} are kept for clients."
        yield Problem("full_memory", "broker", sentence)


def _share(count: int, of: int) -> str:
    return f"{count:,} of {of:,} times"


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
