"""Whatever arrives, the engine answers with a violation at the worst, and its memory stays within bounds."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings, strategies as st

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
@settings(max_examples=1500, deadline=None)
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
