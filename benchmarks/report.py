"""Records as a table for people."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmarks.record import Record, Run, ratio


def with_ratios(records: Sequence[Record], references: Iterable[str]) -> list[Record]:
    """Add to each record how it stands to the same figure of each reference."""
    wanted = set(references)
    compared = []
    for each in records:
        others = [other for other in records if other.system in wanted and _compares(each, other)]
        compared.append(replace(each, ratio_to={other.system: ratio(each, other) for other in others}))
    return compared


def _compares(one: Record, other: Record) -> bool:
    same = (one.workload, one.payload, one.metric) == (other.workload, other.payload, other.metric)
    return same and one.system != other.system and len(one.rounds) == len(other.rounds)


def markdown(run: Run) -> str:
    """Give the whole run: what it was made on, and a table for each workload and payload."""
    about = ", ".join(f"{name} {fact}" for name, fact in run.about.items())
    groups: dict[tuple[str, str], list[Record]] = {}
    for each in run.records:
        groups.setdefault((each.workload, each.payload), []).append(each)
    tables = [
        f"### {workload}, {payload}\n\n{_table(group)}" for (workload, payload), group in groups.items()
    ]
    return "\n".join([f"Measured on: {about}.\n", *tables])


SUMMARY = {
    "one call, median (p99), us": ("call", "150B", ("median", "p99")),
    "calls/s, 64 in flight": ("call-64", "150B", ("rate",)),
    "events in/s": ("events-in", "150B", ("rate",)),
    "events out/s": ("events-out", "150B", ("rate",)),
    "to 100 sessions, deliveries/s": ("fan-out-100", "150B", ("rate",)),
    "server CPU, us an event in": ("events-in", "150B", ("cpu_server",)),
    "B an event in": ("bytes-in", "150B", ("bytes",)),
}
"""The columns of the summary: workload, payload and metrics."""


def summary(run: Run) -> str:
    """Give the most telling figures of all systems in one table, medians alone."""
    found = {(each.system, each.workload, each.payload, each.metric): each.value for each in run.records}
    systems = [
        system
        for system in dict.fromkeys(each.system for each in run.records)
        if (system, *SUMMARY_ROWS) in found
    ]

    def cell(system: str, workload: str, payload: str, metrics: Sequence[str]) -> str:
        values = [found.get((system, workload, payload, metric)) for metric in metrics]
        texts = [number(value) for value in values if value is not None]
        return f"{texts[0]} ({texts[1]})" if len(texts) == 2 else "".join(texts)

    return _lines(
        ["system", *SUMMARY],
        [[system, *(cell(system, *column) for column in SUMMARY.values())] for system in systems],
    )


SUMMARY_ROWS = ("call", "150B", "median")
"""Whoever has this has a row."""


def _table(records: Sequence[Record]) -> str:
    metrics = list(dict.fromkeys((each.metric, each.unit) for each in records))
    cells = {(each.system, each.metric): _cell(each) for each in records}
    systems = list(dict.fromkeys(each.system for each in records))
    return _lines(
        ["system", *(f"{metric} ({unit})" for metric, unit in metrics)],
        [[system, *(cells.get((system, metric), "") for metric, _ in metrics)] for system in systems],
    )


def _lines(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(heads) - 1)
    return "".join(f"| {' | '.join(line)} |\n" for line in (heads, rule, *rows))


def _cell(each: Record) -> str:
    lower, upper = each.spread
    return f"{number(each.value)} ({number(lower)} to {number(upper)})"


def number(value: float) -> str:
    """Three digits that count, in groups of thousands."""
    if value == 0:
        return "0"
    digits = max(0, 3 - len(str(int(abs(value))))) if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"
