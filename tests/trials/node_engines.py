"""The TypeScript engines beside the Python ones in a simulation: what differs is a finding (js-shim/test/simulator/program.ts)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ionbus.generated.protocol import Frame, Limits
from ionbus.session.connection import Connection, ConnectionEffect
from ionbus.session.session import Session, Violation
from ionbus.testing.simulator import Broken, Plan, Simulation
from ionbus.testing.simulator.engines import Draws, Follower, Input, as_step
from ionbus.testing.simulator.world import FollowClient, FollowSession
from vectors.replay import finite, frame_text, plain, session_facts

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = ROOT / "js-shim" / "test" / "simulator" / "program.ts"
BUILT: Final = ROOT / "build" / "simulator" / "program.mjs"


def build() -> None:
    """Bundle the program, from the sources of the engines."""
    command = [
        str(ROOT / "node_modules/.bin/esbuild"),
        str(PROGRAM),
        "--bundle",
        "--platform=node",
        "--format=esm",
    ]
    subprocess.run([*command, f"--outfile={BUILT}", "--log-level=warning"], check=True)


class NodeEngines:
    """A Node.js process that holds engines.

    Args:
        process: runs the program.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._count = 0

    def ask(self, **request: object) -> dict[str, Any]:
        """Have one thing done; gives what can be seen then."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def simulate(
        self,
        plan: Plan,
        follow_client: FollowClient = lambda *_: None,
        follow_session: FollowSession = lambda *_: None,
        /,
    ) -> Simulation:
        """Make a simulation whose engines are those in TypeScript, with the Python ones beside them; the acceptor is Python's."""
        self.ask(reset=True)
        self._count = 0

        def client(index: int, connection: Connection, draws: Draws) -> Twin:
            also = follow_client(index, connection, draws)
            return Twin(self, f"client {index}", plan.limits("client"), also, connection, draws)

        def session(index: int, engine: Session) -> Twin:
            return Twin(
                self, f"broker {index}", plan.limits("broker"), follow_session(index, engine), engine, []
            )

        return Simulation(plan, client, session)

    def add(self) -> int:
        """The number of the next engine."""
        self._count += 1
        return self._count - 1


class Twin:
    """Follows an engine with its twin in TypeScript, whose frames are the ones that are sent.

    Args:
        engines: the process.
        owner: whose engine it is.
        limits: of its side.
        also: another follower, told first.
        engine: the Python one.
        draws: what that draws.
    """

    def __init__(
        self,
        engines: NodeEngines,
        owner: str,
        limits: Limits,
        also: Follower | None,
        engine: Connection | Session,
        draws: Draws,
    ) -> None:
        self._engines = engines
        self._owner = owner
        self._also = also
        self._engine = engine
        self._draws = draws
        self._number = engines.add()
        self._ask(new="client" if isinstance(engine, Connection) else "session", limits=asdict(limits))

    def took(self, given: Input, gives: object, effects: list[ConnectionEffect]) -> None:
        """The Python engine has taken an input: so does the other, and all that can be seen has to be the same."""
        if self._also is not None:
            self._also.took(given, gives, effects)
        step = as_step(given)
        told = self._ask(step=step)
        self._compare(step, told, gives=_plain(gives), effects=_plain(effects))

    def frame(self, frame: bytes | None, now: float) -> bytes | None:
        """The Python engine gave a frame, or none."""
        if self._also is not None:
            self._also.frame(frame, now)
        told = self._ask(frame=now)
        self._compare("frame", told, frame=None if frame is None else frame_text(frame))
        is_said_in_words = frame is not None and frame[1] == Frame.CLOSE
        return frame if frame is None or is_said_in_words else bytes.fromhex(told["frame"])

    def _ask(self, **request: object) -> dict[str, Any]:
        draws = [drawn.hex() if isinstance(drawn, bytes) else drawn for drawn in self._draws]
        self._draws.clear()
        told = self._engines.ask(engine=self._number, **request, draws=draws)
        if "error" in told:
            raise Broken("difference", f"{request}: {told['error']}", self._owner)
        return told

    def _compare(self, what: object, told: dict[str, Any], **more: object) -> None:
        engine = self._engine
        session = engine.session if isinstance(engine, Connection) else engine
        seen = {
            **more,
            "state": str(engine.state) if isinstance(engine, Connection) else None,
            "deadline": finite(engine.deadline()),
            "session": {
                **session_facts(session),
                "queued_events": session.queued_events,
                "queued_bytes": session.queued_bytes,
                "queued_messages": session.queued_messages,
                "unacknowledged_events": session.unacknowledged_events,
                "unnumbered": len(session.unnumbered()),
                "credit": list(session.credit),
            },
        }
        if told != seen:
            text = f"after {what}: TypeScript {_where(told, seen)}, Python {_where(seen, told)}"
            raise Broken("difference", text, self._owner)


def _plain(gives: object) -> object:
    if isinstance(gives, list):
        return [plain(each) for each in gives]
    return plain(gives) if isinstance(gives, Violation) else gives


def _where(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What of `one` is not in `other`."""
    return {key: value for key, value in one.items() if other.get(key, ...) != value}


@contextmanager
def node_engines() -> Iterator[NodeEngines]:
    """A process for as many simulations as one likes; `build` comes first."""
    with subprocess.Popen(
        ["node", str(BUILT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield NodeEngines(process)
        assert process.stdin is not None
        process.stdin.close()
