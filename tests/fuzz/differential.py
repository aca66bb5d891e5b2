"""Python and TypeScript are given the same: `python -m fuzz.differential NAME SEED INPUTS BOARD`.

Inputs are made here, and run here; a Node.js process (js-shim/test/fuzz/judge.ts) is given them by the hundred, with what came out, and
tells what differs. `values` and `frames` compare whether bytes are taken and what they are, `session` and `connection` every step of
a conversation with a hostile peer.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgpack

from fuzz import grammar
from fuzz.board import Board
from fuzz.canonical import canonical, has_twice
from fuzz.choices import Choices
from fuzz.mutation import Mutator
from fuzz.scripts import CHANGED, LIMITS, connection_script, session_script
from fuzz.targets import frames, payload
from ionbus.generated.protocol import FIELDS, Frame, Limits
from ionbus.wire import values
from ionbus.wire.frames import MalformedFrame, decode_frame
from ionbus.wire.messages import check_message
from vectors.replay import Step

NAMES: Final = ("values", "frames", "session", "connection")
PROGRAM: Final = Path(__file__).resolve().parents[2] / "build" / "fuzz" / "fuzz.mjs"
BATCH: Final = 200
MAX_FINDINGS: Final = 5
_KEY: Final = re.compile(r"\[(?:key|-?\d+)\]")
"""A step of a path: a key of a mapping that is a whole float is an integer in JavaScript."""

PYTHON_ALONE: Final = ("are equal", "can be neither a member", "have the same hash")
"""Refusals of what one language's sets and mappings cannot hold, and the other's can: True beside 1, NaN twice, two decimals that are equal."""


@contextmanager
def node() -> Iterator[subprocess.Popen[str]]:
    """The Node.js process."""
    command = ["node", str(PROGRAM), "--judge"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def ask(process: subprocess.Popen[str], **request: Any) -> list[Any]:
    """What TypeScript makes of a batch."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    answers: list[Any] = json.loads(process.stdout.readline())
    return answers


def value_text(data: bytes) -> str:
    """A value, or its refusal, as judge.ts writes it."""
    try:
        return canonical(values.decode(data))
    except values.ValueRefused as refused:
        return f"refused {refused.path}: {refused.problem}"


def frame_text(data: bytes) -> str:
    """A frame, as judge.ts writes it."""
    try:
        frame = decode_frame(data)
    except MalformedFrame:
        return "malformed"
    if frame[0] != Frame.DATA:
        return f"kind {frame[0]}"
    return f"DATA {' '.join(map(_element, frame[3:]))}"


def _element(element: object) -> str:
    if type(element) is not list:
        return "nil" if element is None else "none"
    try:
        return "known" if check_message(element, Limits()) else "unknown"
    except MalformedFrame:
        return "malformed"


def told(step: Step) -> Step:
    """A step with what it gave, but for messages: of those the fields that are described and scalar."""
    changed = dict(step)
    for part in ("gives", "effects"):
        if isinstance(step.get(part), list):
            changed[part] = [
                {**each, "message": summary(each["message"])} if "delivered" in each else each
                for each in step[part]
            ]
    return changed


def summary(text: str) -> str:
    """As judge.ts writes it."""
    kind, *fields = msgpack.unpackb(bytes.fromhex(text), strict_map_key=False)
    fields += [None] * 8
    texts = [
        canonical(value) if described.rstrip("?") in ("uint", "text", "bin", "name") else "-"
        for described, value in zip(FIELDS[kind], fields, strict=False)
    ]
    return " ".join([str(kind), *texts])


def same(of: str, data: bytes, python: str, typescript: Any) -> bool:
    """Whether the two agree, but for what a language cannot help."""
    if python == typescript:
        return True
    if not isinstance(typescript, str) or of != "values":
        return False
    if any(problem in python or problem in typescript for problem in PYTHON_ALONE):
        return True
    if _KEY.sub("[#]", python) == _KEY.sub("[#]", typescript):
        return True
    return typescript.startswith("refused") and has_twice(data)


@dataclass
class Run:
    """Comparing, batch by batch."""

    of: str
    process: subprocess.Popen[str]
    board: Board
    inputs: int = 0
    runs: int = 0
    found: list[dict[str, Any]] = field(default_factory=list)
    outcomes: set[str] = field(default_factory=set)

    def bytes_alike(self, mutator: Mutator, count: int) -> None:
        """Compare what both make of bytes."""
        text_of = value_text if self.of == "values" else frame_text
        while self.inputs < count and len(self.found) < MAX_FINDINGS:
            batch = [self._made(mutator.next()) for _ in range(BATCH)]
            texts = []
            for data in batch:
                self.board.put(data)
                texts.append(text_of(data))
                if len(self.outcomes) < 2_000 and texts[-1][:40] not in self.outcomes:
                    self.outcomes.add(texts[-1][:40])
                    mutator.keep(data)
            answers = ask(self.process, of=self.of, inputs=[data.hex() for data in batch])
            for data, python, typescript in zip(batch, texts, answers, strict=True):
                if not same(self.of, data, python, typescript):
                    self._differ(data, f"Python: {python[:300]}\nTypeScript: {str(typescript)[:600]}")
            self.inputs += len(batch)
            self.runs += len(batch)

    def _made(self, data: bytes) -> bytes:
        """Every second input is made by the grammar."""
        return grammar.value(Choices(data)) if self.of == "values" and len(data) & 1 else data

    def talks_alike(self, mutator: Mutator, count: int) -> None:
        """Compare what both do in a conversation."""
        script = session_script if self.of == "session" else connection_script
        limits = {name: getattr(LIMITS, name) for name in CHANGED}
        while self.inputs < count and len(self.found) < MAX_FINDINGS:
            batch = [mutator.next() for _ in range(BATCH // 10)]
            traces = []
            for data in batch:
                self.board.put(data)
                traces.append([told(step) for step in script(Choices(data))])
                self.inputs += max(1, sum(step["do"] == "receive" for step in traces[-1]))
            answers = ask(self.process, of=self.of, limits=limits, traces=traces)
            for data, steps, difference in zip(batch, traces, answers, strict=True):
                if difference is not None:
                    self._differ(
                        data, f"{difference} in {json.dumps(steps[: difference.get('index', 0) + 1])[:3000]}"
                    )
            self.runs += len(batch)

    def _differ(self, data: bytes, text: str) -> None:
        if len(self.found) < MAX_FINDINGS:
            self.found.append({"kind": "differs", "text": text, "hex": data.hex()})


def compare(name: str, seed: int, inputs: int, board: Board) -> dict[str, Any]:
    """Run one comparison; its report."""
    seeds = {"values": payload.seeds(), "frames": frames.seeds()}.get(name, [])
    mutator = Mutator(random.Random(f"{seed} both {name}"), seeds, 400 if seeds else 600)
    begun = time.perf_counter()
    with node() as process:
        run = Run(name, process, board)
        if name in ("values", "frames"):
            run.bytes_alike(mutator, inputs)
        else:
            run.talks_alike(mutator, inputs)
    seconds = time.perf_counter() - begun
    return {
        "inputs": run.inputs,
        "runs": run.runs,
        "seconds": round(seconds, 1),
        "inputs_per_second": round(run.inputs / seconds),
        "findings": len(run.found),
        "found": run.found,
    }


def main(name: str, seed: str, inputs: str, path: str, *_: str) -> None:
    """Compare, and tell the report."""
    json.dump(compare(name, int(seed), int(inputs), Board(Path(path))), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
