"""`make simulate`: seeds by the thousand, Python engines against each other and beside those in TypeScript, every step checked.

A seed that fails is cut down to a few steps, and left as JSON in build/simulate; `--seed N` repeats one, `--plan FILE`
what was left, and `--vector NAME` makes of either a vector in schemas/vectors/simulated.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from ionbus.testing.simulator import Broken, Plan, Simulation, as_vector, draw, shrink
from ionbus.testing.simulator.record import SimulateFollowed
from trials.node_engines import ROOT, NodeEngines, build, node_engines
from trials.report import Report, conclude, say
from vectors.replay import SIMULATED, record_simulated

LEFT: Final = ROOT / "build" / "simulate"
"""Where failing plans are left."""
SEEDS, STEPS, TYPESCRIPT_SEEDS = 10_000, 1_000_000, 500
"""What `make simulate` does at least."""
_BLOCK: Final = 100
"""So many seeds are given to a process at once."""
_RUNS: Final = 2_000
"""So many plans are tried to cut one down."""
_SHRUNK: Final = 5
"""So many failing seeds are cut down; that more fail is told."""


@dataclass
class Found:
    """What a block of seeds gave."""

    seeds: int = 0
    steps: int = 0
    virtual_seconds: float = 0.0
    tally: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, Broken]] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Count another block too."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.virtual_seconds += other.virtual_seconds
        self.tally += other.tally
        self.broken += other.broken


def run_seeds(seeds: Sequence[int], engines: NodeEngines | None = None) -> Found:
    """Simulate each seed; `engines`: with the engines in TypeScript."""
    found = Found()
    for seed in seeds:
        plan = draw(seed)
        simulation = Simulation(plan) if engines is None else engines.simulate(plan)
        broken = simulation.run()
        found.seeds += 1
        found.steps += simulation.steps
        found.virtual_seconds += simulation.now / 1000
        found.tally += simulation.tally
        if broken is not None:
            found.broken.append((seed, broken))
    return found


def run_block(with_typescript: bool, seeds: range) -> Found:
    """The same, in a process of its own."""
    with ExitStack() as stack:
        return run_seeds(seeds, stack.enter_context(node_engines()) if with_typescript else None)


def simulate(
    report: Report, name: str, first: int, seeds: int, steps: int, processes: int, *, with_typescript: bool
) -> None:
    """Simulate at least so many seeds, and engine steps, from `first` on, and report what was found."""
    found = Found()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for block in pool.imap(partial(run_block, with_typescript), _blocks(first)):
            found.add(block)
            say(f"{name}: {found.seeds} seeds, {found.steps} engine steps, {len(found.broken)} broken")
            if found.seeds >= seeds and found.steps >= steps:
                break
        pool.terminate()
    report.counts[name] = {
        "seeds": found.seeds,
        "engine_steps": found.steps,
        "virtual_hours": round(found.virtual_seconds / 3600, 1),
        "what_happened": dict(sorted(found.tally.items())),
    }
    for number, (seed, broken) in enumerate(found.broken):
        text = f"{name}: seed {seed}: {broken}"
        if number < _SHRUNK:
            text += f"; repeat it with --plan {leave(seed, with_typescript=with_typescript)}"
        report.violated(text)


def leave(seed: int, *, with_typescript: bool) -> Path:
    """Cut a failing seed down and write it where it can be repeated from."""
    with ExitStack() as stack:
        run = stack.enter_context(node_engines()).simulate if with_typescript else Simulation
        plan = shrink(draw(seed), runs=_RUNS, simulate=run)
    LEFT.mkdir(parents=True, exist_ok=True)
    path = LEFT / f"seed-{seed}{'-typescript' if with_typescript else ''}.json"
    path.write_text(plan_text(plan))
    return path.relative_to(ROOT)


def plan_text(plan: Plan) -> str:
    """JSON with one line a step."""
    data = plan.to_json()
    steps = ",\n".join(f"  {json.dumps(step)}" for step in data.pop("steps"))
    return json.dumps(data)[:-1] + f', "steps": [\n{steps}\n]}}\n'


def repeat(report: Report, plan: Plan, *, with_typescript: bool, vector: str | None) -> None:
    """Simulate one plan, cut it down and tell it; or make a vector of it."""
    with ExitStack() as stack:
        run: SimulateFollowed = Simulation
        if with_typescript:
            build()
            run = stack.enter_context(node_engines()).simulate
        broken = run(plan).run()
        if broken is None:
            say("it does not fail")
            return
        report.violated(str(broken))
        plan = shrink(plan, runs=_RUNS, simulate=run)
        say(plan_text(plan))
        if vector is not None:
            add_vector(as_vector(plan, vector, simulate=run))
            say(f"added to {SIMULATED.relative_to(ROOT)}; mend the engines, then make vectors")


def add_vector(case: dict[str, Any]) -> None:
    """Write a vector as the engine is now; `make vectors` does so again once it is right."""
    cases = [other for other in json.loads(SIMULATED.read_text()) if other["name"] != case["name"]]
    SIMULATED.write_text(json.dumps([*cases, record_simulated(case)]))


def _blocks(first: int) -> Iterator[range]:
    while True:
        yield range(first, first + _BLOCK)
        first += _BLOCK


def main(arguments: Sequence[str] | None = None) -> None:
    """Run by make."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="at least so many, Python against Python")
    parser.add_argument("--steps", type=int, default=STEPS, help="at least so many engine steps")
    parser.add_argument("--first", type=int, default=0, help="the first seed; the others follow it")
    parser.add_argument(
        "--typescript",
        type=int,
        nargs="?",
        const=TYPESCRIPT_SEEDS,
        default=0,
        help="so many seeds with the engines in TypeScript too; with --seed or --plan: that one",
    )
    parser.add_argument("--seed", type=int, help="repeat one seed, cut down to the steps that it takes")
    parser.add_argument("--plan", type=Path, help="repeat what a failing run has left")
    parser.add_argument("--vector", metavar="NAME", help="with --seed or --plan: make a vector of it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    report = Report("simulate", given.seed if given.seed is not None else given.first)
    if given.seed is not None or given.plan is not None:
        plan = draw(given.seed) if given.plan is None else Plan.from_json(json.loads(given.plan.read_text()))
        repeat(report, plan, with_typescript=bool(given.typescript), vector=given.vector)
    else:
        if given.seeds:
            simulate(
                report,
                "python",
                given.first,
                given.seeds,
                given.steps,
                given.processes,
                with_typescript=False,
            )
        if given.typescript:
            build()
            simulate(
                report, "typescript", given.first, given.typescript, 0, given.processes, with_typescript=True
            )
    conclude(report)


if __name__ == "__main__":
    main()
