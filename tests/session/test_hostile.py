"""Whatever arrives, the engine answers with a violation at the worst, and its memory stays within bounds."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given, settings, strategies as st

from ionbus.generated.protocol import Limits
from ionbus.session.session import Session, Violation
from session.world import SMALL

uints = st.one_of(st.integers(0, 12), st.integers(0, 2**64 - 1))
scalars = st.one_of(
    st.none(), st.booleans(), uints, st.integers(-5, -1), st.text(max_size=4), st.binary(max_size=120)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
elements = st.one_of(
    values,
    st.lists(values, min_size=1, max_size=5).map(lambda tail: [*tail]),
    st.builds(lambda kind, tail: [kind, *tail], st.integers(0, 24), st.lists(values, max_size=4)),
)
well_formed = st.builds(
    lambda first, ack, tail: [0, first, ack, *tail],
    st.integers(0, 6),
    st.integers(0, 3),
    st.lists(elements, max_size=6),
)
control = st.builds(lambda kind, tail: [kind, *tail], st.integers(0, 9), st.lists(values, max_size=4))
frames = st.one_of(st.binary(max_size=60), st.one_of(well_formed, control, values).map(msgpack.packb))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(frames, max_size=12))
def test_no_frame_breaks_the_engine(script: list[bytes]) -> None:
    session = Session(SMALL)
    session.attach(0, (100, 10), 0)
    for frame in script:
        received = session.received
        arrivals = session.receive_bytes(frame, 0)
        assert session.received >= received
        assert all(not isinstance(arrival, Violation) for arrival in arrivals[:-1])
        for _ in range(50):
            if session.next_frame(0) is None:
                break
        else:
            raise AssertionError("one small frame makes the engine send for ever")


@given(st.binary(max_size=40), st.integers(0, 40))
def test_a_truncated_frame_is_a_violation_or_shorter_data(payload: bytes, keep: int) -> None:
    frame = msgpack.packb([0, 1, 0, [1, "a.event", payload]])
    session = Session(SMALL)
    session.attach(0, (100, 10), 0)
    cut = frame[: min(keep, len(frame) - 1)]
    assert isinstance(session.receive_bytes(cut, 0)[-1], Violation)
    assert session.received == 0


def test_a_message_in_tiny_parts_takes_little_more_than_its_bytes() -> None:
    """As an object each, two bytes took forty."""
    session = Session(Limits())
    session.attach(0, (0, 0), 0.0)
    total, seq = 300_000, 1
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        session.receive_bytes(msgpack.packb([0, seq, 0, [18, 1, total, b"ab"]]), 0.0)
        for _ in range(10):
            parts = [[19, 1, b"ab"] for _ in range(4_000)]
            assert session.receive_bytes(msgpack.packb([0, seq + 1, 0, *parts]), 0.0) == []
            seq += len(parts)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert session.received == 40_001
    assert after - before < 900_000


def test_transfers_that_wait_are_counted_and_bounded() -> None:
    limits = replace(Limits(), max_requests=10)
    session = Session(limits)
    session.attach(0, (0, 0), 0.0)
    waiting = [[18, number, limits.max_message_bytes, b"x"] for number in range(1, 22)]
    arrivals = session.receive_bytes(msgpack.packb([0, 1, 0, *waiting]), 0.0)
    assert arrivals == [Violation("protocol_error", "transfer 21 while 20 are under way", over=False)]
    assert session.held_bytes >= 20 * 256
    aborted = [[21, number, "x", ""] for number in range(1, 21)]
    session.receive_bytes(msgpack.packb([0, 21, 0, *aborted]), 0.0)
    assert session.held_bytes == session.queued_message_bytes
