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


def test_events_are_taken_together_as_far_as_they_could_be_one_by_one() -> None:
    outbox = Outbox(max_latest_keys=10)
    plain = [Entry(b"xxx", 2, "session", None, EVENTS) for _ in range(6)]
    large = Entry(b"x" * 100, 99, "session", None, EVENTS)
    for entry in (*plain[:4], event("key"), plain[4], large, plain[5]):
        outbox.push(entry)

    def take(most: int = 10, max_bytes: int = 1_000, max_cost: int = 1_000) -> list[Entry]:
        return outbox.take_events(most, max_bytes, max_cost, largest=50)

    assert take(most=0) == take(max_bytes=0) == take(max_cost=-1) == []
    assert take(most=1) == plain[:1]
    assert take(max_bytes=4) == plain[1:3]
    assert take(max_cost=1) == plain[3:4]
    assert all(entry.is_numbered for entry in plain[:4])
    assert take() == []  # a `latest` event comes first
    assert outbox.take(may_take_event=True) is not None
    assert take() == plain[4:5]
    assert take() == []  # one that needs a transfer comes first
    assert outbox.take(may_take_event=True) is large
    outbox.hold(EVENTS)
    assert take() == []
    outbox.release(EVENTS)
    message = Entry(b"message", -1, "session")
    outbox.push(message)
    assert take() == []  # the order between events and messages is for `take`
    assert (outbox.queued_events, outbox.queued_bytes) == (1, 2)
    assert outbox.take(may_take_event=True) is plain[5]
    assert outbox.take(may_take_event=True) is message


def test_messages_are_taken_together_as_far_as_they_could_be_one_by_one() -> None:
    outbox = Outbox(max_latest_keys=10)
    plain = [Entry(b"xxx", -1, "session", None, number) for number in range(6)]
    large = Entry(b"x" * 100, -1, "session", None, 9)
    for entry in (*plain[:5], large, plain[5]):
        outbox.push(entry)

    def take(most: int = 10, max_bytes: int = 1_000) -> list[Entry]:
        return outbox.take_messages(most, max_bytes, largest=50)

    assert take(most=0) == take(max_bytes=0) == []
    assert take(most=1) == plain[:1]
    assert take(max_bytes=4) == plain[1:3]
    assert all(entry.is_numbered for entry in plain[:3])
    assert (outbox.queued_messages, outbox.queued_message_bytes) == (4, 109)
    outbox.withdraw(plain[3])
    assert take() == []  # one that was taken back comes first
    assert outbox.take(may_take_event=True) is plain[4]
    assert take() == []  # one that travels in parts comes first
    assert outbox.take(may_take_event=True) is large
    outbox.push(event("key"))
    assert take() == []  # an event waits, which may have come before
    assert outbox.take(may_take_event=True) is plain[5]
    assert outbox.queued_messages == outbox.queued_message_bytes == 0
    outbox.hold(3)
    outbox.push(Entry(b"xxx", -1, "session", None, 3))
    assert outbox.take_messages(10, 1_000, 50) == []  # its lane may be held
