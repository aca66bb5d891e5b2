"""What waits for its number, and what is taken back before it has one."""

from __future__ import annotations

import gc

from ionbus.session.outbox import EVENTS, Entry, Outbox


def event(key: str) -> Entry:
    return Entry(b"x", 1, "latest", key, EVENTS, None)


def entries_alive() -> int:
    gc.collect()
    return sum(isinstance(thing, Entry) for thing in gc.get_objects())


def test_keys_that_come_and_go_do_not_pile_up_while_nothing_leaves() -> None:
    before = entries_alive()
    outbox = Outbox(max_latest_keys=10)
    for number in range(5_000):
        outbox.push(event(str(number)))
    assert outbox.queued_events == 10
    assert [entry.key for entry in outbox.waiting()] == [str(number) for number in range(4_990, 5_000)]
    assert entries_alive() - before < 200


def test_calls_that_are_given_up_do_not_pile_up_while_nothing_leaves() -> None:
    before = entries_alive()
    outbox = Outbox(max_latest_keys=10)
    kept = Entry(b"kept", -1, "session", None, 0, None)
    outbox.push(kept)
    for number in range(5_000):
        given_up = Entry(b"call", -1, "session", None, number, None)
        outbox.push(given_up)
        outbox.withdraw(given_up)
    assert outbox.queued_messages == 1
    assert entries_alive() - before < 200
    assert outbox.take(may_take_event=False) is kept
    assert outbox.take(may_take_event=False) is None
