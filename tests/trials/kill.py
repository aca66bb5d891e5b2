"""`make kill-test`: whoever is killed, and whenever: a window gets its Python back, and of a dead parent nothing is left.

1. Python is killed under load behind a real Electron window, which has to recover each time: how long until it has an answer.
2. Electron, Node.js and Python programs are killed under load, while handlers of their brokers hang in every way, with and
   without a launcher in between: two seconds later no process is left that they started, by the mark in its environment or as a
   descendant.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marked import Mark, Process, descendants
from trials.report import Report, conclude, environment_of_trials, percentiles, say

ROOT = Path(__file__).parents[2]
E2E = ROOT / "e2e"
BUILT = ROOT / "build" / "kill"
PARTS = ("window", "electron", "node", "python")
AT_ONCE = {"electron": 2, "node": 4, "python": 4}

LIMIT = 2.0
"""Seconds after which nobody may be left."""

PATIENCE = 30.0
"""Seconds that a program has to start, or a window to recover."""

HANGS = (None, "blockThread", "blockLoop", "ignoreCancellation")

BROKER = {"command": sys.executable, "args": ["app.py"], "cwd": str(E2E / "app")}
BEHIND_A_SHELL = {
    "command": "sh",
    "args": ["-c", f"{shlex.quote(sys.executable)} app.py; true"],  # the shell waits: it is no `exec`
    "cwd": str(E2E / "app"),
}


@dataclass(frozen=True)
class Case:
    """One parent to be killed."""

    parent: str
    hang: str | None
    launch: dict[str, Any]
    pause: float
    """Seconds of load."""

    def __str__(self) -> str:
        launcher = "behind a shell" if self.launch is BEHIND_A_SHELL else "launched directly"
        return f"{self.parent}, a broker {launcher}, {self.hang or 'nothing'} hanging"


def cases(parent: str, kills: int, dice: random.Random) -> list[Case]:
    """Each way to hang with each launcher, in turn."""
    ways = [(hang, launch) for hang in HANGS for launch in (BROKER, BEHIND_A_SHELL)]
    return [
        Case(parent, *ways[(number * 5) % len(ways)], pause=dice.uniform(0.05, 0.4))
        for number in range(kills)
    ]


async def run(
    report: Report, kills: int, parts: Sequence[str], dice: random.Random, limit: float = LIMIT
) -> None:
    """Do what is asked for; `report` gets the counts. `limit`: seconds after which nobody may be left."""
    await build()
    if "window" in parts:
        say(f"killing the Python of a window {kills} times")
        report.counts["window"] = await kill_python(report, kills, dice, limit)
    for parent in (part for part in parts if part != "window"):
        say(f"killing {parent} {kills} times")
        turns = asyncio.Semaphore(AT_ONCE[parent])

        async def one(case: Case, turns: asyncio.Semaphore = turns) -> float | None:
            async with turns:
                return await kill_parent(report, case, limit)

        seconds = await asyncio.gather(*(one(case) for case in cases(parent, kills, dice)))
        gone = [each for each in seconds if each is not None]
        report.counts[parent] = {"kills": kills, "left": kills - len(gone), "gone_after": percentiles(gone)}


async def build() -> None:
    """Make the page of the window and the program of Node.js."""
    esbuild = str(ROOT / "node_modules" / ".bin" / "esbuild")
    BUILT.mkdir(parents=True, exist_ok=True)
    (BUILT / "index.html").write_bytes((E2E / "page" / "index.html").read_bytes())
    common = ["--bundle", "--log-level=error", "--target=es2022", "--format=esm"]
    for arguments in (
        [str(E2E / "kill" / "page.ts"), "--platform=browser", f"--outfile={BUILT / 'page.js'}"],
        [
            str(E2E / "kill" / "node.ts"),
            "--platform=node",
            "--packages=external",
            f"--outfile={BUILT / 'node.mjs'}",
        ],
    ):
        process = await asyncio.create_subprocess_exec(esbuild, *arguments, *common)
        if await process.wait() != 0:
            raise SystemExit("esbuild has failed; `make kill-test` sees to what is needed")


@asynccontextmanager
async def started(
    mark: Mark, parent: str, settings: dict[str, Any]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that carries the mark; whatever it has left is killed."""
    with tempfile.TemporaryDirectory(prefix="ionbus-kill-", ignore_cleanup_errors=True) as profile:
        if parent == "electron":
            electron = os.environ.get("IONBUS_ELECTRON")
            if not electron:
                raise SystemExit("IONBUS_ELECTRON names no Electron: run `make kill-test`")
            command = [
                electron,
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={profile}",
                str(E2E / "kill" / "app"),
            ]
        elif parent == "node":
            command = ["node", str(BUILT / "node.mjs")]
        else:
            command = [sys.executable, str(E2E / "kill" / "parent.py")]
        env = {
            **environment_of_trials(),
            **mark.variable,
            "KILL_SETTINGS": json.dumps({**settings, "page": str(BUILT)}),
        }
        process = await asyncio.create_subprocess_exec(
            *command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )  # fmt: skip
        try:
            yield process
        finally:
            mark.kill()
            await process.communicate()


async def next_line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The next thing that a program says."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        line = await process.stdout.readline()
    if not line:
        raise EOFError("it has ended")
    said: dict[str, Any] = json.loads(line)
    return said


# Parents.


async def kill_parent(report: Report, case: Case, limit: float) -> float | None:
    """Kill one parent; seconds until nobody was left, None where somebody was."""
    mark = Mark()
    async with started(mark, case.parent, {"launch": case.launch, "hang": case.hang}) as process:
        try:
            await next_line(process)
        except (TimeoutError, EOFError) as error:
            report.violated(f"{case}: it has not come so far: {error!r}")
            return None
        await asyncio.sleep(case.pause)
        family = await asyncio.to_thread(descendants, process.pid)
        process.kill()
        took, left = await asyncio.to_thread(until_gone, mark, family, limit)
        if left:
            report.violated(f"{case}: left {limit:g} s after its death: {', '.join(map(str, left))}")
            return None
        return took


def until_gone(mark: Mark, family: Sequence[Process], limit: float) -> tuple[float, list[Process]]:
    """Wait until nobody is left of those with the mark, nor of the family; how long it took, and who is left."""
    start = time.monotonic()
    while True:
        left = {each.pid: each for each in (*mark.found(), *(each for each in family if each.is_alive()))}
        took = time.monotonic() - start
        if not left or took > limit:
            return took, list(left.values())
        time.sleep(0.02)


# The Python of a window.


async def kill_python(report: Report, kills: int, dice: random.Random, limit: float) -> dict[str, Any]:
    """Kill the Python of one window again and again."""
    mark = Mark()
    answered: list[float] = []
    async with started(mark, "electron", {"launch": BROKER, "hang": None}) as process:
        try:
            pid = (await next_line(process))["pid"]
            for number in range(kills):
                await asyncio.sleep(dice.uniform(0.2, 0.8))
                killed = time.time()
                os.kill(pid, signal.SIGKILL)
                said = await next_line(process)
                answered.append(said["at"] / 1000 - killed)
                pid = said["pid"]
                if number % 10 == 9:
                    say(f"  {number + 1} kills, the last answer after {answered[-1] * 1000:.0f} ms")
            assert process.stdin is not None
            process.stdin.close()
            end = await next_line(process)
        except (TimeoutError, EOFError, ProcessLookupError) as error:
            report.violated(f"the window has not recovered from kill {len(answered) + 1}: {error!r}")
            return {"kills": kills, "recovered": len(answered)}
        health = end["health"]
        report.check(end["uncaught"] == [], f"uncaught in Electron's main: {end['uncaught']}")
        report.check(health["state"] == "running", f"the broker is {health['state']} in the end")
        report.check(health["restarts"] == kills, f"{kills} kills, and {health['restarts']} restarts")
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        _, left = await asyncio.to_thread(until_gone, mark, [], limit)
        report.check(not left, f"left after Electron has quit: {', '.join(map(str, left))}")
    return {
        "kills": kills,
        "recovered": len(answered),
        "first_answer": percentiles(answered),
        "done_under_load": end["loaded"]["done"],
        "failed_under_load": end["loaded"]["failed"],
    }


def main() -> None:
    """What `make kill-test` runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="how often each of them is killed")
    parser.add_argument("--parts", default=",".join(PARTS), help="which, with commas between")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds after which nobody may be left")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    parts = options.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    report = Report("kill", options.seed)
    asyncio.run(run(report, options.kills, parts, random.Random(options.seed), options.limit))
    conclude(report)


if __name__ == "__main__":
    main()
