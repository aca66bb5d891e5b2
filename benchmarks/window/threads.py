"""Which threads a call from a window wakes, and what it costs each: `python -m benchmarks.window.threads`.

Linux alone tells (/proc). For each thread that a call concerns: microseconds of CPU, microseconds that it was ready and waited for
a core, and how often it went to sleep and was woken again. Where these add up to much less than the call takes, the rest
is how long sleeping cores take to wake.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.payloads import PAYLOADS
from benchmarks.window.electron import Window
from benchmarks.workloads.window import SYSTEMS

PROC = Path("/proc")
SLEEPS, CPU = 0.1, 1.0
"""Threads that sleep less often in a call, and take fewer microseconds, have other things to do."""

Cost = tuple[float, float, float]
"""Microseconds of CPU, microseconds of waiting for a core, and sleeps."""


@dataclass(frozen=True)
class Thread:
    """One thread of one process."""

    pid: int
    number: int

    @property
    def name(self) -> str:
        """What it is for, as far as its process's command line and its own name tell."""
        process = PROC / str(self.pid)
        # Chromium's processes join their arguments by spaces.
        arguments = (process / "cmdline").read_text("utf-8").replace("\0", " ").split()
        given = dict(each.removeprefix("--").partition("=")[::2] for each in arguments)
        role = given.get("utility-sub-type") or given.get("type") or Path(arguments[0]).name
        own = (process / "task" / str(self.number) / "comm").read_text("utf-8").strip()
        return f"{role} {self.pid}" if self.number == self.pid else f"{role} {self.pid}, {own} {self.number}"

    def cost(self) -> Cost:
        """What it has cost since it began."""
        task = PROC / str(self.pid) / "task" / str(self.number)
        running, waiting, _ = (task / "schedstat").read_text("utf-8").split()
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text("utf-8").splitlines())
        return int(running) / 1000, int(waiting) / 1000, int(status["voluntary_ctxt_switches"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--width", type=int, default=1, help="calls under way at any time (default: 1)")
    parser.add_argument("--count", type=int, default=1_000, help="calls in a turn (default: 1,000)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each system (default: 9)")
    chosen = parser.parse_args()
    payload = PAYLOADS["150B"]
    job = {"kind": payload.kind, "payload": payload.make(), "count": chosen.count, "width": chosen.width}
    turns: dict[str, list[tuple[float, dict[Thread, Cost]]]] = {system: [] for system in chosen.systems}
    with Window("uvloop") as window:
        for system in chosen.systems:
            window.run(system, "call", **job)  # warm
        for _ in range(chosen.rounds):
            for system, rounds in turns.items():
                before = costs(window.pid)
                seconds = window.run(system, "call", **job)["seconds"]
                spent = difference(costs(window.pid), before)
                rounds.append(
                    (seconds / chosen.count * 1e6, {each: share(spent[each], chosen.count) for each in spent})
                )
        for system, rounds in turns.items():
            print(f"\n{system}: {median(mean for mean, _ in rounds):.0f} us a call")
            print("\n".join(report([spent for _, spent in rounds])))


def threads(pid: int) -> Iterator[Thread]:
    """All threads of a process and of those that it has started."""
    for task in (PROC / str(pid) / "task").iterdir():
        yield Thread(pid, int(task.name))
        for child in (task / "children").read_text("utf-8").split():
            yield from threads(int(child))


def costs(pid: int) -> dict[Thread, Cost]:
    """What each of them has cost."""
    found = {}
    for thread in threads(pid):
        with suppress(FileNotFoundError):  # it has just ended
            found[thread] = thread.cost()
    return found


def difference(after: dict[Thread, Cost], before: dict[Thread, Cost]) -> dict[Thread, Cost]:
    """What those that were there before and after have cost between."""
    return {
        each: (cost[0] - then[0], cost[1] - then[1], cost[2] - then[2])
        for each, cost in after.items()
        if (then := before.get(each)) is not None and then != cost
    }


def share(cost: Cost, count: int) -> Cost:
    """One call's part."""
    return cost[0] / count, cost[1] / count, cost[2] / count


def report(rounds: Sequence[dict[Thread, Cost]]) -> list[str]:
    """Give a line for each thread that a call wakes, the dearest first."""
    none = (0.0, 0.0, 0.0)
    lines = []
    for thread in {thread for each in rounds for thread in each}:
        running, waiting, sleeps = (
            median(each.get(thread, none)[part] for each in rounds) for part in range(3)
        )
        if sleeps >= SLEEPS or running >= CPU:
            facts = f"{running:6.1f} us of CPU {waiting:6.1f} us ready {sleeps:5.2f} sleeps"
            lines.append((running, f"  {thread.name:<60} {facts}"))
    return [line for _, line in sorted(lines, reverse=True)]


if __name__ == "__main__":
    main()
