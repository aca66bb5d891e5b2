"""Conversations of an engine with a hostile peer, made from decisions: each step is made from what the engine has done before.

The steps are those of the vectors (tests/vectors/replay.py), so that the TypeScript engine can be given the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from fuzz.choices import Choices
from fuzz.grammar import Known, control, damaged, pack
from ionbus.generated.protocol import Frame, Limits, Message
from ionbus.session.session import Session
from ionbus.wire.frames import decode_frame
from ionbus.wire.messages import encode_call, encode_event
from vectors.replay import ConnectionRun, SessionRun, Step

LIMITS: Final = replace(
    Limits(),
    max_frame_elements=12,
    ack_elements=3,
    batch_elements=4,
    batch_bytes=200,
    replay_bytes=600,
    replay_elements=8,
    credit_bytes=100,
    credit_messages=6,
    transfer_threshold_bytes=100,
    transfer_part_bytes=40,
    max_message_bytes=1_000,
    max_assembly_bytes=1_000,
    max_latest_keys=2,
    heartbeat_ms=1_000,
    silence_ms=3_000,
)
"""Limits that a short conversation reaches."""

CHANGED: Final = (
    *(
        "max_frame_elements",
        "ack_elements",
        "batch_elements",
        "batch_bytes",
        "replay_bytes",
        "replay_elements",
    ),
    *(
        "credit_bytes",
        "credit_messages",
        "transfer_threshold_bytes",
        "transfer_part_bytes",
        "max_message_bytes",
    ),
    *("max_assembly_bytes", "max_latest_keys", "heartbeat_ms", "silence_ms"),
)
"""Those of them that are not the usual ones: what a vector calls `limits`."""

LONGEST: Final = 40
"""Steps of one conversation."""


def check(is_so: bool, what: str) -> None:
    """Raise unless something holds."""
    if not is_so:
        raise AssertionError(what)


class Peer:
    """What the hostile side sends, near what would be right."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.known = Known()
        self.number = 0

    def frame(self, session: Session) -> bytes:
        """A frame to this session."""
        choices = self.choices
        if choices.below(8) == 7:
            frame = pack(
                control(choices, self.known, session.sent, session.acked, *session.credit, *session.granted)
            )
        else:
            first = session.received + 1
            if choices.one_in(8):
                first = max(0, choices.number(session.received, session.received + 1, session.received - 2))
            ack = session.sent if choices.one_in(2) else session.acked
            if choices.one_in(12):
                ack = choices.number(session.sent, session.acked)
            count = choices.below(5) if not choices.one_in(20) else choices.pick((11, 12, 13, 40))
            elements = [self._element(session) for _ in range(count)]
            frame = pack([0, first, ack, *elements])
        return damaged(choices, frame) if choices.one_in(30) else frame

    def _element(self, session: Session) -> Any:
        choices = self.choices
        match choices.below(20):
            case 0:
                return None
            case 1:
                return choices.anything()
            case 2 | 3:
                self.known.ids = [1, self.known.transfer, session.sent, session.received]
                return self.known.message(
                    choices, choices.pick((Message.GRANT, Message.ABORT, Message.REJECT, Message.CHUNK))
                )
            case 4 | 5 | 6 | 7:
                return self.known.message(
                    choices, choices.pick((Message.BEGIN, Message.CHUNK, Message.CHUNK))
                )
            case _:
                return self.known.message(choices)

    def own(self) -> Step | None:
        """Something that our own side's application does."""
        choices = self.choices
        self.number += 1
        tag = f"t{self.number}"
        size = choices.pick((1, 20, 99, 101, 130, 500, 1_200))
        match choices.below(6):
            case 0 | 1:
                message = encode_call(self.number, "a.call", b"x" * size)
                return {
                    "do": "send",
                    "message": bytes(message).hex(),
                    "lane": choices.below(3) + 1,
                    "tag": tag,
                }
            case 2 | 3 | 4:
                delivery = choices.pick(("session", "volatile", "latest"))
                event = encode_event("a.event", b"e" * size)
                step = {
                    "do": "emit",
                    "message": bytes(event).hex(),
                    "cost": size,
                    "delivery": delivery,
                    "tag": tag,
                }
                return {**step, "key": choices.pick(("k", "l", "m"))} if delivery == "latest" else step
            case _:
                return {"do": "consumed", "cost": choices.pick((1, 30, 100))}


def session_script(choices: Choices) -> list[Step]:
    """Talk to a `Session`; what was done, with what it gave and the facts after it. Raises where an invariant is broken."""
    run = SessionRun(LIMITS)
    session, peer = run.session, Peer(choices)
    steps: list[Step] = []
    now = 0.0

    def do(step: Step) -> Any:
        before = (session.received, session.granted)
        recorded = run.record([{"at": now, **step}])[0]
        steps.append(recorded)
        check(session.received >= before[0], "received has fallen")
        check(session.granted[0] >= before[1][0] and session.granted[1] >= before[1][1], "a grant has fallen")
        check_bounds(session)
        return recorded["gives"]

    do(
        {
            "do": "attach",
            "received": 0,
            "credit": [choices.pick((0, 50, 10_000)), choices.pick((0, 3, 1_000))],
        }
    )
    while not choices.is_over and len(steps) < LONGEST:
        match choices.below(10):
            case 0:
                step = peer.own()
                if step is not None:
                    do(step)
            case 1:
                tags = [tag for tag, entry in run.tagged.items() if entry is not None]
                if tags:
                    do({"do": "withdraw", "tag": choices.pick(tags)})
            case 2:
                now += choices.pick((0, 1, 49, 50, 999, 1_000, 3_000))
                do({"do": "tick"})
                check_frames(session, do({"do": "frames"}))
            case 3:
                check_frames(session, do({"do": "frames"}))
            case 4 if choices.one_in(3):
                do({"do": "detach"})
                do(
                    {
                        "do": "attach",
                        "received": max(0, choices.number(session.acked, session.sent)),
                        "credit": list(session.credit),
                    }
                )
            case _:
                given = do({"do": "receive", "frame": peer.frame(session).hex()})
                check_arrivals(given)
                if given and "violation" in given[-1]:
                    if given[-1]["over"]:
                        break
                    do({"do": "detach"})
                    do({"do": "attach", "received": session.acked, "credit": list(session.credit)})
                    if not choices.one_in(4):  # some progress, or the next violation is the last
                        do(
                            {
                                "do": "receive",
                                "frame": pack([0, session.received + 1, session.acked, None]).hex(),
                            }
                        )
    return steps


def check_bounds(session: Session) -> None:
    """What a session keeps is within its limits, and no count has been counted wrong."""
    counts = (
        session.queued_events,
        session.queued_bytes,
        session.queued_messages,
        session.queued_message_bytes,
    )
    check(min(counts) >= 0, f"a count below nothing: {counts}")
    check(0 <= session.acked <= session.sent, "acknowledged more than was sent")
    kept = session.held_bytes - session.queued_bytes - session.queued_message_bytes
    most = LIMITS.replay_bytes + LIMITS.transfer_threshold_bytes + 64 + LIMITS.max_assembly_bytes
    check(0 <= kept <= most + LONGEST * 1_100, f"keeps {kept} bytes")


def check_arrivals(arrivals: list[dict[str, Any]]) -> None:
    """Numbers rise, and nothing comes behind a violation."""
    numbers = [each["delivered"] for each in arrivals if "delivered" in each]
    check(numbers == sorted(set(numbers)), f"delivered {numbers}")
    check(all("violation" not in each for each in arrivals[:-1]), "something comes behind a violation")


def check_frames(session: Session, frames: list[str]) -> None:
    """What is sent are frames, within the limits, numbered without a gap."""
    for text in frames:
        frame = decode_frame(bytes.fromhex(text))
        if frame[0] == Frame.DATA:
            check(0 < frame[1] <= session.sent, f"sends element {frame[1]} of {session.sent}")
            check(len(frame) - 3 <= LIMITS.batch_elements, f"{len(frame) - 3} elements in a frame")


def connection_script(choices: Choices) -> list[Step]:
    """Talk to a client's `Connection`: greet it wrong and right, close it, cut it."""
    run = ConnectionRun(LIMITS)
    connection, peer = run.connection, Peer(choices)
    steps: list[Step] = []
    now = 0.0

    channel = "none"  # what the engine was told of its channel: opening, open, none

    def do(step: Step) -> None:
        nonlocal channel
        if step["do"] in ("opened", "failed", "lost"):
            channel = "open" if step["do"] == "opened" else "none"
        steps.append(run.record([{"at": now, **step}])[0])
        for effect in steps[-1]["effects"]:
            if "open_channel" in effect:
                check(channel == "none", "two channels at a time")
                channel = "opening"
            elif "close_channel" in effect:
                channel = "none"
        check_bounds(connection.session)
        for text in steps[-1]["frames"]:
            check(len(text) <= 2 * 16_384, "a frame above the limit of a greeting")
        check(steps[-1]["deadline"] is None or steps[-1]["deadline"] >= 0, "a deadline below nothing")

    do({"do": "tick"})
    while not choices.is_over and len(steps) < LONGEST:
        match choices.below(12):
            case 0:
                step = peer.own()
                if step is not None:
                    do(step)
            case 1 if choices.one_in(6):
                do({"do": choices.pick(("retry", "close"))})
            case 1 | 2:
                now += choices.pick((0, 50, 100, 1_000, 3_000, 5_000, 10_000, 100_000))
                do({"do": "tick"})
            case _ if channel == "opening":
                if choices.one_in(6):
                    do({"do": "failed", "reason": "refused"})
                else:
                    do(
                        {
                            "do": "opened",
                            "token": choices.pick((None, "token")),
                            "silence_is_fatal": choices.one_in(2),
                        }
                    )
            case _ if channel == "none":
                now += 20_000
                do({"do": "tick"})
            case 3:
                do({"do": "lost", "code": "connection_lost", "reason": "cut"})
            case 4 if choices.one_in(2):
                options = {
                    "final": choices.one_in(4),
                    "over": choices.one_in(3),
                    "retry_after": choices.number(),
                    "elsewhere": choices.text(),
                }
                frame = pack(
                    [3, choices.pick(("stopping", "unauthenticated", "evicted")), choices.text(), options]
                )
                do({"do": "receive", "frame": frame.hex()})
            case _ if run.connection._machine.state.endswith(".greeting") and not choices.one_in(5):
                do({"do": "receive", "frame": pack([Frame.WELCOME, welcome(choices, run)]).hex()})
            case _:
                do({"do": "receive", "frame": peer.frame(connection.session).hex()})
    return steps


def welcome(choices: Choices, run: ConnectionRun) -> dict[str, Any]:
    """A WELCOME's map; about every second one is right."""
    connection = run.connection
    session = connection.session
    fresh = connection._fresh
    right: dict[str, Any] = {
        "protocol": 1,
        "agent": "broker",
        "session": connection.id if fresh is None or choices.one_in(2) else fresh[0],
        "resumed": True,
        "epoch": choices.pick((b"e" * 16, b"f" * 16)),
        "secret": b"s" * 32,
        "received": session.acked,
        "credit": [1_000, 100],
        "heartbeat": [1_000, 3_000],
    }
    if choices.one_in(2):
        key = choices.pick(tuple(right))
        match choices.below(4):
            case 0:
                del right[key]
            case 1:
                right[key] = choices.anything()
            case 2:
                right["received"] = choices.number(session.sent, session.acked)
            case _:
                right["heartbeat"] = [choices.number(), choices.number()]
                right["credit"] = [choices.number(), choices.number()]
    if choices.one_in(4):
        for key in ("reason", "limits", "contracts", "names", "rights", "missed"):
            right[key] = choices.anything()
    return right
