"""`make fuzz`: hostile input at each layer, in both languages. Counts go to standard output as one JSON object, progress to standard error.

    python -m fuzz                          every target, 1,000,000 inputs each
    python -m fuzz session dispatch         these
    python -m fuzz --inputs 10000 --seed 7
    python -m fuzz --replay session 0a1b…   one input again

Each target runs in a process of its own, so that one that dies or hangs is a finding like any other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from fuzz import registry
from fuzz.board import Board
from fuzz.differential import NAMES as DIFFERENTIAL
from fuzz.driver import Finding, judge

ROOT: Final = Path(__file__).resolve().parents[2]
FINDINGS: Final = ROOT / "build" / "fuzz" / "findings"
JAVASCRIPT: Final = ROOT / "build" / "fuzz" / "fuzz.mjs"
SILENT_SECONDS: Final = 60.0
"""A process that takes up no input for so long hangs: a single input takes milliseconds."""

GUIDED_SHARE: Final = 20
"""One input in so many is made by atheris besides, where it is installed."""


@dataclass
class Job:
    """One process, and what it gave."""

    name: str
    command: list[str]
    target: str
    has_board: bool = True
    report: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def main() -> int:
    """See the module."""
    options = _options()
    if options.replay:
        return _replay(*options.replay)
    begun = time.monotonic()
    jobs = _jobs(options)
    with (
        tempfile.TemporaryDirectory(prefix="ionbus-fuzz-") as folder,
        ThreadPoolExecutor(options.jobs) as pool,
    ):
        for job in pool.map(lambda job: _run(job, Path(folder)), jobs):
            _tell(job, options.seed)
    violations = [f"{job.name}: {finding.kind}: {finding.text}" for job in jobs for finding in job.findings]
    result = {
        "trial": "fuzz",
        "seed": options.seed,
        "inputs": options.inputs,
        "seconds": round(time.monotonic() - begun, 1),
        "violations": violations,
        "targets": {job.name: job.report for job in jobs},
    }
    json.dump(result, sys.stdout, indent=2)
    print()
    return 1 if violations else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Hostile input at each layer.")
    parser.add_argument("targets", nargs="*", help="names of targets; all if there are none")
    parser.add_argument(
        "--inputs", type=int, default=int(os.environ.get("FUZZ_INPUTS") or 1_000_000), help="for each target"
    )
    parser.add_argument("--seed", type=int, default=int(os.environ.get("FUZZ_SEED") or 1))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--replay", nargs=2, metavar=("TARGET", "HEX"), help="run one input again")
    return parser.parse_args()


def _jobs(options: argparse.Namespace) -> list[Job]:
    """Every process that is to be run."""
    python = [sys.executable, "-m", "fuzz.worker"]
    seed, inputs = str(options.seed), options.inputs
    shares = {name: str(max(1, inputs // registry.SHARES.get(name, 1))) for name in registry.NAMES}
    jobs = [Job(f"python {name}", [*python, name, seed, shares[name]], name) for name in registry.NAMES]
    jobs.append(Job("python growth", [sys.executable, "-m", "fuzz.growth"], "growth", has_board=False))
    if find_spec("atheris") is not None:
        guided = str(max(1, inputs // GUIDED_SHARE))
        jobs += [
            Job(f"python {name}, guided", [*python, "--guided", name, seed, guided], name)
            for name in registry.NAMES
        ]
    else:
        print("atheris is not installed: nothing is guided by coverage", file=sys.stderr)
    if JAVASCRIPT.exists():  # `make fuzz` bundles it; that program watches itself
        listed = subprocess.run(["node", JAVASCRIPT, "--list"], check=True, capture_output=True, text=True)
        jobs += [
            Job(
                f"typescript {name}",
                ["node", str(JAVASCRIPT), name, seed, str(inputs)],
                name,
                has_board=False,
            )
            for name in listed.stdout.split()
        ]
        jobs += [
            Job(f"both {name}", [sys.executable, "-m", "fuzz.differential", name, seed, str(inputs)], name)
            for name in DIFFERENTIAL
        ]
    return [
        job
        for job in jobs
        if not options.targets or job.target in options.targets or job.name in options.targets
    ]


def _run(job: Job, folder: Path) -> Job:
    """Run a process, and watch that it takes up inputs."""
    print(f"{job.name} …", file=sys.stderr, flush=True)
    path, found = folder / f"{job.name}.board", folder / f"{job.name}.found"
    board = Board(path)
    command = [*job.command, str(path), str(found)]
    begun = seen_at = time.monotonic()
    seen = -1
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe) as process,
        ThreadPoolExecutor(1) as reader,
    ):
        output = reader.submit(process.communicate)
        while process.poll() is None:
            time.sleep(0.2)
            count, data = board.read()
            if count != seen:
                seen, seen_at = count, time.monotonic()
            elif job.has_board and time.monotonic() - seen_at > SILENT_SECONDS and not job.findings:
                process.kill()
                job.findings.append(Finding(job.target, "hung", f"no end after {SILENT_SECONDS:g} s", data))
        stdout, stderr = output.result()
    count, data = board.read()
    board.close()
    _read(job, process.returncode, stdout, stderr.decode(errors="replace"), found, data)
    if "--guided" in job.command:
        seconds = time.monotonic() - begun
        job.report = {
            "inputs": count,
            "seconds": round(seconds, 1),
            "inputs_per_second": round(count / seconds),
            "findings": len(job.findings),
        }
    return job


def _read(job: Job, status: int, stdout: bytes, stderr: str, found: Path, data: bytes) -> None:
    """What a process told, or that it could tell nothing any more."""
    if found.exists():
        told = [json.loads(found.read_text())]
    elif status == 0 and "--guided" in job.command:
        told = []
    elif status == 0:
        job.report = json.loads(stdout)
        told = job.report.pop("found")
    elif job.findings:
        return  # it hung, and was killed
    else:
        last = "\n".join(stderr.strip().splitlines()[-8:])
        told = [{"kind": "died", "text": f"status {status}\n{last}", "hex": data.hex()}]
    job.findings += [
        Finding(job.target, each["kind"], each["text"], bytes.fromhex(each["hex"])) for each in told
    ]


def _tell(job: Job, seed: int) -> None:
    """Progress, and each finding with its input."""
    report = job.report
    print(
        f"{job.name}: {report.get('inputs', 0):,} inputs in {report.get('seconds', 0)} s, {len(job.findings)} findings",
        file=sys.stderr,
    )
    for finding in job.findings:
        FINDINGS.mkdir(parents=True, exist_ok=True)
        path = FINDINGS / f"{job.target}-{finding.kind}-{abs(hash(finding.data)) % 10**8}.hex"
        path.write_text(f"# {job.name}, seed {seed}: {finding.text!r}\n{finding.data.hex()}\n")
        print(
            f"  {finding.kind}: {finding.text}\n  seed {seed}, input {finding.data.hex()}\n  kept in {path.relative_to(ROOT)}",
            file=sys.stderr,
        )


def _replay(name: str, text: str) -> int:
    target = registry.load(name)
    try:
        outcome, finding = judge(target, bytes.fromhex(text))
    finally:
        target.close()
    print(outcome.label if finding is None else finding.text)
    return 0 if finding is None else 1


if __name__ == "__main__":
    sys.exit(main())
