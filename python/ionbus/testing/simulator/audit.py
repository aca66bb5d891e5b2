"""An engine's own accounts against what it really holds: nothing may drift, and no bound may be passed.

The one file of the simulator that looks inside the engines.
"""

from __future__ import annotations

from collections import Counter

from ionbus.generated.protocol import Limits
from ionbus.session.acceptor import Acceptor
from ionbus.session.session import Session
from ionbus.session.transfers import TRANSFER_BYTES
from ionbus.testing.simulator.broken import Broken
from ionbus.testing.simulator.ledger import INTERNAL
from ionbus.testing.simulator.sender import Sender

# ruff: noqa: SLF001

_Checks = list[tuple[str, bool]]


def audit(session: Session, limits: Limits, sender: Sender | None, owner: str) -> None:
    """Check an engine.

    Args:
        session: the engine.
        limits: of its side.
        sender: of its side; None for one that is attacked.
        owner: whose engine it is.

    Raises:
        Broken: an account is wrong, or a bound is passed.
    """
    checks = [*_outbox(session, limits), *_replay(session, limits), *_transfers(session, limits)]
    if sender is not None:
        checks += _sent(session, sender)
    for rule, is_right in checks:
        if not is_right:
            raise Broken(rule, _facts(session), owner)


def remembered(acceptor: Acceptor) -> int:
    """How many ended sessions it remembers."""
    return len(acceptor._ended)


def _outbox(session: Session, limits: Limits) -> _Checks:
    outbox, under_way = session._outbox, session._outgoing.entries()
    events = [entry for entry in outbox._events if not entry.is_dropped]
    held = [entry for lane in outbox._held.values() for entry in lane]
    messages = [entry for entry in (*outbox._messages, *held) if not entry.is_dropped]
    return [
        ("queued events", session.queued_events == len(events)),
        ("queued bytes", session.queued_bytes == sum(entry.cost for entry in events)),
        ("queued messages", session.queued_messages == len(messages)),
        (
            "queued message bytes",
            session.queued_message_bytes == sum(len(entry.data) for entry in (*messages, *under_way)),
        ),
        ("latest keys", len(outbox._latest) <= limits.max_latest_keys),
        ("latest keys", all(entry in events for entry in outbox._latest.values())),
        ("control frames", len(session._control) <= 4),
    ]


def _replay(session: Session, limits: Limits) -> _Checks:
    replay = session._replay
    sizes = [len(element.data) for element in replay._kept]
    return [
        ("replay count", len(sizes) == replay.sent - replay.acked),
        ("replay count", len(sizes) <= limits.replay_elements),
        ("replay bytes", replay.size == sum(sizes)),
        ("replay bytes", replay.size < limits.replay_bytes + max(sizes, default=1)),
        ("replay again", len(replay._again) <= len(sizes)),
    ]


def _transfers(session: Session, limits: Limits) -> _Checks:
    outgoing, incoming = session._outgoing, session._incoming
    arriving, waiting = incoming._under_way, incoming._waiting
    granted = [receiving.total for number, receiving in arriving.items() if number not in waiting]
    arrived = sum(len(receiving.data) for receiving in arriving.values())
    held = arrived + TRANSFER_BYTES * len(arriving)
    queued = session.queued_bytes + session.queued_message_bytes
    return [
        ("assembly", incoming._reserved == sum(granted)),
        ("assembly", incoming._reserved <= limits.max_assembly_bytes),
        ("assembly", all(len(each.data) <= limits.transfer_part_bytes for each in waiting.values())),
        ("assembly", incoming.held_bytes == held),
        ("held bytes", session.held_bytes == queued + session._replay.size + held),
        ("grant", all(sending.offset <= sending.granted for sending in outgoing._under_way.values())),
    ]


def _sent(session: Session, sender: Sender) -> _Checks:
    ledger, acked = sender.ledger, session.acked
    taken = [entry.cost for entry in session._outgoing.entries() if entry.cost >= 0]
    spent = (ledger.spent[0] + sum(taken), ledger.spent[1] + len(taken))
    waiting = [entry.data for entry in session.unnumbered() if entry.data[1] not in INTERNAL]
    return [
        ("sent", session.sent == sender.wire.sent),
        ("spent", (session._spent_bytes, session._spent_events) == spent),
        ("unnumbered", waiting == [item.data for item in ledger.waiting()]),
        ("unacknowledged", session.unacknowledged() == ledger.unacknowledged(acked)),
        ("dropped", _merged(session.dropped) == _merged(ledger.dropped)),
    ]


def _merged(dropped: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Whether a volatile event was dropped for want of credit or of a channel is the engine's to know."""
    merged: Counter[tuple[str, str]] = Counter()
    for (name, reason), count in dropped.items():
        merged[name, "absent" if reason == "behind" else reason] += count
    return merged


def _facts(session: Session) -> str:
    replay = session._replay
    return (
        f"sent {session.sent}, acked {session.acked}, received {session.received}, kept {len(replay._kept)} in "
        f"{replay.size} bytes, queued {session.queued_events} events in {session.queued_bytes} bytes and "
        f"{session.queued_messages} messages in {session.queued_message_bytes}, spent {session._spent_bytes, session._spent_events} of {session.credit}"
    )
