"""Runs a target over many inputs in this process, and watches time, memory and what comes out.

A target takes bytes and gives an `Outcome`; whatever it raises is a finding. Where an outcome's label is new the input is
kept and mutated further, so that the run goes where refusals differ. Coverage would guide it better: guided.py.
"""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from fuzz.mutation import Mutator

CORPUS: Final = Path(__file__).parent / "corpus"
"""Inputs that were findings once, `corpus/TARGET/NAME.hex`, with what they did in a comment."""

SLOW_SECONDS: Final = 1.0
"""More than this for one input is a finding: for an input of at most 1 MiB it means that a longer one stops the process."""

GROWTH_MIB: Final = 64
"""More than this beyond what a target used after its first tenth is a finding; the objects of one input are far below it."""

MAX_FINDINGS: Final = 5
"""A target that has so many has had enough."""

MAX_LABELS: Final = 2_000
"""Labels that are told apart."""


class Outcome(NamedTuple):
    """What came of an input.

    Args:
        label: what happened, in few words; a new one makes the input worth keeping.
        inputs: how many frames or messages it was, where one run is a whole conversation.
    """

    label: str
    inputs: int = 1


@dataclass(frozen=True)
class Target:
    """Something that takes hostile input.

    Args:
        name: in reports, and of its folder in the corpus.
        run: takes one input; raises where something is wrong.
        seeds: inputs to begin with; none: inputs are decisions (choices.py).
        longest: about how long an input may become.
        close: called at the end.
    """

    name: str
    run: Callable[[bytes], Outcome]
    seeds: Sequence[bytes] = ()
    longest: int = 300
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Finding:
    """Something that must not be.

    Args:
        kind: `raised`, `slow`, `grew`, `died`, `hung`.
        text: what is wrong.
        data: the input.
    """

    target: str
    kind: str
    text: str
    data: bytes

    @property
    def key(self) -> str:
        """Two findings with the same key are taken for the same mistake."""
        return f"{self.target} {self.kind} {self.text.splitlines()[-1] if self.text else ''}"


@dataclass
class Report:
    """What a run over a target gave."""

    target: str
    seed: int
    inputs: int = 0
    runs: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    growth_mib: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """As it stands in the JSON of `make fuzz`."""
        common = dict(self.outcomes.most_common(8))
        return {
            "inputs": self.inputs,
            "runs": self.runs,
            "seconds": round(self.seconds, 1),
            "inputs_per_second": round(self.inputs / self.seconds) if self.seconds else 0,
            "slowest_ms": round(self.slowest_ms, 1),
            "growth_mib": round(self.growth_mib, 1),
            "different_outcomes": len(self.outcomes),
            "outcomes": common,
            "findings": len(self.findings),
        }


def drive(target: Target, seed: int, inputs: int, watch: Callable[[bytes], None] = lambda _: None) -> Report:
    """Run a target over so many inputs.

    Args:
        target: what takes them.
        seed: of all that is random here.
        inputs: how many; a conversation counts as many as it has frames.
        watch: told each input before it is run.
    """
    report = Report(target.name, seed)
    mutator = Mutator(random.Random(f"{seed} {target.name}"), target.seeds, target.longest)
    begun = time.perf_counter()
    baseline: float | None = None
    known: set[str] = set()
    while report.inputs < inputs and len(report.findings) < MAX_FINDINGS:
        data = mutator.next()
        watch(data)
        outcome, finding = judge(target, data, report)
        report.runs += 1
        report.inputs += outcome.inputs
        if finding is not None and finding.key not in known:
            known.add(finding.key)
            report.findings.append(minimised(target, finding))
        label = outcome.label
        if label in report.outcomes:
            report.outcomes[label] += 1
        elif len(report.outcomes) < MAX_LABELS:
            report.outcomes[label] = 1
            mutator.keep(data)
        if report.runs % 1_024 == 0:
            resident = resident_mib()
            if baseline is None and report.inputs * 10 >= inputs:
                baseline = resident
            if baseline is not None:
                report.growth_mib = max(report.growth_mib, resident - baseline)
    if report.growth_mib > GROWTH_MIB:
        text = f"grew by {report.growth_mib:.0f} MiB after the first tenth of {report.inputs} inputs"
        report.findings.append(Finding(target.name, "grew", text, b""))
    report.seconds = time.perf_counter() - begun
    return report


def judge(target: Target, data: bytes, report: Report | None = None) -> tuple[Outcome, Finding | None]:
    """Run one input."""
    begun = time.perf_counter()
    try:
        outcome = target.run(data)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return Outcome("finding"), Finding(target.name, "raised", told(error), data)
    seconds = time.perf_counter() - begun
    if seconds > SLOW_SECONDS:  # perhaps it was not its turn: once more, by the processor's time
        begun = time.thread_time()
        target.run(data)
        seconds = time.thread_time() - begun
        if seconds > SLOW_SECONDS:
            text = f"took {seconds:.1f} s for {len(data)} bytes"
            return Outcome("finding"), Finding(target.name, "slow", text, data)
    if report is not None and seconds * 1_000 > report.slowest_ms:
        report.slowest_ms = seconds * 1_000
    return outcome, None


def told(error: BaseException) -> str:
    """The error, and where in ionbus it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "ionbus" in frame.filename and "/tests/" not in frame.filename]
    where = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return f"{type(error).__name__}: {str(error)[:300]}{where}"


def minimised(target: Target, finding: Finding, steps: int = 2_000) -> Finding:
    """The same finding with as little input as can be found in so many steps."""
    if finding.kind != "raised":
        return finding
    best = finding

    def is_same(data: bytes) -> bool:
        nonlocal best
        _, found = judge(target, data)
        if found is None or found.kind != finding.kind or _kind_of(found.text) != _kind_of(finding.text):
            return False
        best = found
        return True

    size = max(1, len(best.data) // 2)
    while steps > 0:
        at = 0
        was = len(best.data)
        while at < len(best.data) and steps > 0:
            steps -= 1
            if not is_same(best.data[:at] + best.data[at + size :]):
                at += size
        if size == 1 and len(best.data) == was:
            break
        size = max(1, size // 2)
    for at in range(min(len(best.data), steps)):
        if best.data[at]:
            is_same(best.data[:at] + b"\0" + best.data[at + 1 :])
    return best


def _kind_of(text: str) -> tuple[str, str]:
    return text.split(":", 1)[0], text.rsplit(" at ", 1)[-1]


def resident_mib() -> float:
    """Memory of this process in MiB; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * 4_096 / 2**20


def corpus(name: str) -> dict[str, bytes]:
    """A target's findings of earlier times, by their names."""
    found = {}
    for path in sorted((CORPUS / name).glob("*.hex")):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        found[path.stem] = bytes.fromhex("".join(lines))
    return found
