"""Run the Python implementation over the steps of a vector, to record or to compare (schemas/vectors/)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgpack

from ionbus.generated.protocol import Frame, Limits
from ionbus.session.connection import (
    CloseChannel,
    Connection,
    OpenChannel,
    SessionEnded,
    SessionReplaced,
    StateChange,
)
from ionbus.session.outbox import Entry
from ionbus.session.session import Delivered, Rejected, Session, Violation
from ionbus.wire.frames import MalformedFrame, decode_frame
from ionbus.wire.messages import check_message

FOLDER = Path(__file__).resolve().parents[2] / "schemas" / "vectors"
SESSIONS = FOLDER / "session.json"
CONNECTIONS = FOLDER / "connection.json"
SIMULATED = FOLDER / "simulated.json"

Step = dict[str, Any]
BAD = 80  # past this many frames an engine does not come to rest


def plain(thing: object) -> object:
    """An arrival or effect as plain data."""
    match thing:
        case Delivered(seq, message):
            return {"delivered": seq, "message": msgpack.packb(message).hex()}
        case Rejected(tag, code, _):
            return {"rejected": tag, "code": code}
        case Violation(code, _, over):
            return {"violation": code, "over": over}
        case OpenChannel():
            return {"open_channel": True}
        case CloseChannel(code, _, over):
            return {"close_channel": code, "over": over}
        case StateChange():
            return {
                "from": str(thing.before),
                "to": str(thing.after),
                "code": thing.code,
                "outcome": thing.outcome,
                "replayed": thing.replayed,
                "lost_events": thing.lost_events,
                "missed": thing.missed,
            }
        case SessionReplaced(code, unnumbered, lost_events, missed):
            return {
                "replaced": code,
                "unnumbered": [bytes(entry.data).hex() for entry in unnumbered],
                "lost_events": lost_events,
                "missed": missed,
            }
        case SessionEnded(code, _):
            return {"ended": code}
    raise AssertionError(thing)


def finite(time: float) -> float | None:
    return None if math.isinf(time) else time


def frame_text(frame: bytes) -> str:
    """A frame in hexadecimal; the text of CLOSE is for people, and each implementation has its own words."""
    if frame[1] == Frame.CLOSE:
        kind, code, _, *options = msgpack.unpackb(frame)
        frame = msgpack.packb([kind, code, "", *options])
    return frame.hex()


def session_facts(session: Session) -> dict[str, Any]:
    """What a session tells of itself."""
    return {
        "received": session.received,
        "sent": session.sent,
        "acked": session.acked,
        "granted": list(session.granted),
        "accepts_events": session.accepts_events,
        "dropped": {f"{name} {reason}": n for (name, reason), n in sorted(session.dropped.items())},
        "queued_message_bytes": session.queued_message_bytes,
        "held_bytes": session.held_bytes,
    }


def drain(next_frame: Callable[[float], bytes | None], now: float, count: int | None = None) -> list[str]:
    """The frames that an engine gives now, at most `count`: a channel may take no more."""
    frames: list[str] = []
    while len(frames) != count and (frame := next_frame(now)) is not None:
        frames.append(frame_text(frame))
        assert len(frames) < BAD
    return frames


class SessionRun:
    """A `Session` over steps."""

    def __init__(self, limits: Limits) -> None:
        self.session = Session(limits)
        self.session.set_heartbeat(limits.heartbeat_ms, limits.silence_ms)
        self.tagged: dict[str, Entry | None] = {}

    def record(self, steps: list[Step]) -> list[Step]:
        """The steps with what they gave, and the facts after each."""
        return [self._with_outputs(step) for step in steps]

    def _with_outputs(self, step: Step) -> Step:
        inputs = {key: value for key, value in step.items() if key not in ("gives", "facts")}
        gives = session_step(self.session, self.tagged, inputs)
        facts = {**session_facts(self.session), "deadline": finite(self.session.deadline())}
        return {**inputs, "gives": gives, "facts": facts}


def session_step(session: Session, tagged: dict[str, Entry | None], step: Step) -> Any:
    """Do one step with a session; what it gave, as plain data."""
    now = float(step["at"])
    match step["do"]:
        case "send":
            entry = session.send(bytes.fromhex(step["message"]), step.get("lane"), step.get("tag"))
            tagged[step.get("tag", "")] = entry
            return None
        case "emit":
            message = bytes.fromhex(step["message"])
            emitted = session.emit(message, step["cost"], step["delivery"], step.get("key"), step.get("tag"))
            tagged[step.get("tag", "")] = emitted
            return "dropped" if emitted is None else "queued"
        case "withdraw":
            entry_ = tagged[step["tag"]]
            assert entry_ is not None
            return session.withdraw(entry_)
        case "consumed":
            return session.consumed(step["cost"])
        case "attach":
            try:
                session.attach(step["received"], tuple(step["credit"]), now)
            except MalformedFrame:
                return "refused"
            return None
        case "detach":
            return session.detach()
        case "receive":
            return [plain(arrival) for arrival in session.receive_bytes(bytes.fromhex(step["frame"]), now)]
        case "violation":
            return plain(session.violation(step["reason"]))
        case "tick":
            return session.tick(now)
        case "frames":
            return drain(session.next_frame, now, step.get("count"))
    raise AssertionError(step)


class ConnectionRun:
    """A `Connection` over steps. Its randomness: the nth draw of bytes is bytes of value n, and one half."""

    def __init__(self, limits: Limits) -> None:
        self.draws = 0
        self.connection = Connection(limits, self._entropy, lambda: 0.5, "client", [("a", "1.0", "f" * 32)])
        self.tagged: dict[str, Entry | None] = {}

    def _entropy(self, size: int) -> bytes:
        self.draws += 1
        return bytes([self.draws]) * size

    def record(self, steps: list[Step]) -> list[Step]:
        """The steps, each with the effects, frames, state and deadline after it."""
        return [self._with_outputs(step) for step in steps]

    def _with_outputs(self, step: Step) -> Step:
        inputs = {
            key: value for key, value in step.items() if key not in ("effects", "frames", "state", "deadline")
        }
        connection = self.connection
        now = float(inputs["at"])
        match inputs["do"]:
            case "opened":
                connection.opened(inputs["token"], inputs["silence_is_fatal"], now)
            case "failed":
                connection.failed(inputs["reason"], now)
            case "lost":
                connection.lost(inputs["code"], inputs["reason"], now)
            case "receive":
                connection.receive(bytes.fromhex(inputs["frame"]), now)
            case "retry":
                connection.retry(now)
            case "close":
                connection.close(now)
            case "tick":
                connection.tick(now)
            case "nothing":
                pass
            case _:
                session_step(connection.session, self.tagged, inputs)
        return {
            **inputs,
            "effects": [plain(effect) for effect in connection.effects()],
            "frames": drain(connection.next_frame, now, inputs.get("count")),
            "state": str(connection.state),
            "deadline": finite(connection.deadline()),
        }


def record_simulated(case: Step) -> Step:
    """A trace that a simulation found, with what its steps give."""
    limits = replace(Limits(), **case["limits"])
    run = SessionRun(limits) if case["of"] == "session" else ConnectionRun(limits)
    return {**case, "steps": run.record(case["steps"])}


@dataclass(frozen=True)
class Cases:
    """A file of bytes that are right or wrong."""

    path: Path
    judge: Callable[[bytes], str]

    def record(self, name: str, data: bytes) -> Step:
        return {"name": name, "bytes": data.hex(), "is": self.judge(data)}


def judge_message(data: bytes) -> str:
    """`known`, `unknown` (to be skipped) or `malformed`."""
    try:
        return "known" if check_message(msgpack.unpackb(data), Limits()) else "unknown"
    except MalformedFrame:
        return "malformed"


def judge_frame(data: bytes) -> str:
    """`frame` or `malformed`."""
    try:
        decode_frame(data)
    except MalformedFrame:
        return "malformed"
    return "frame"


MESSAGES = Cases(FOLDER / "messages.json", judge_message)
FRAMES = Cases(FOLDER / "frames.json", judge_frame)
