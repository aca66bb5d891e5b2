"""Takes turns: A B C A B C …, each warm, each round about as long."""

from collections.abc import Callable, Mapping

Figures = Mapping[str, float]
Run = Callable[[int], Figures]
"""Do this many; give `seconds` and whatever else."""

LONG_ENOUGH = 0.1
"""Seconds from which on a run tells how fast a system is."""


def take_turns(
    runs: Mapping[str, Run],
    rounds: int,
    seconds: float,
    at_least: int = 1,
    count: int | None = None,
    warm_up: int = 0,
) -> dict[str, list[tuple[Figures, int]]]:
    """Give each round's figures and its count, for each of `runs`.

    Args:
        runs: what is compared, by name.
        rounds: how many turns each has.
        seconds: how long a turn is about to take.
        at_least: the smallest count.
        count: how many, where that is given.
        warm_up: how many each does before anything is measured; where that is less than it takes to find the count, that.
    """
    counts = {name: count or count_for(run, seconds, at_least, warm_up) for name, run in runs.items()}
    if count is not None:
        for run in runs.values():
            run(count)  # warm, as count_for leaves the others
    turns: dict[str, list[tuple[Figures, int]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            turns[name].append((run(counts[name]), counts[name]))
    return turns


def count_for(run: Run, seconds: float, at_least: int, warm_up: int = 0) -> int:
    """Find how many take about that long, once it is warm: what is done for the first time may take far longer."""
    run(max(at_least, warm_up))
    count = at_least
    while (took := run(count)["seconds"]) < min(LONG_ENOUGH, seconds / 2):
        count *= 4
    count = max(at_least, round(count * seconds / took))
    return max(at_least, round(count * seconds / run(count)["seconds"]))
