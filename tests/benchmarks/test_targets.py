"""Verdicts on the targets, from records."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from benchmarks.record import Ratio, Record, record
from benchmarks.targets import Target, Verdict, judge, line, needs, read

FASTER = Target("64 calls", "call-64", "ionbus", "150B", "rate", at_least=4.5, of=("json", "msgpack"))
SMALL = Target("an idle session", "idle-memory", "ionbus", "", "memory", at_most=40)


def rate(system: str, rounds: Sequence[float]) -> Record:
    return record("call-64", system, "150B", "rate", "1/s", rounds)


def memory(kilobytes: float) -> Record:
    return record("idle-memory", "ionbus", "", "memory", "KB", [kilobytes])


@pytest.mark.parametrize(("value", "holds"), [(44.0, False), (45.0, True), (46.0, True)])
def test_a_rate_is_judged_by_the_better_reference(value: float, holds: bool) -> None:
    records = [rate("ionbus", [value]), rate("json", [5.0]), rate("msgpack", [10.0])]
    verdict = judge(FASTER, records)
    assert verdict.measured is not None
    assert (verdict.measured.value, verdict.holds) == (value / 10.0, holds)


def test_of_latencies_the_better_one_is_the_lower() -> None:
    target = replace(FASTER, metric="median", at_least=None, at_most=0.66)
    records = [
        replace(rate(system, [value]), metric="median")
        for system, value in [("ionbus", 66.0), ("json", 200.0), ("msgpack", 100.0)]
    ]
    assert judge(target, records).measured == Ratio(0.66, (0.66, 0.66))


@pytest.mark.parametrize(("kilobytes", "holds"), [(39.9, True), (40.0, True), (40.1, False)])
def test_a_figure_of_its_own_is_judged_in_its_unit(kilobytes: float, holds: bool) -> None:
    assert judge(SMALL, [memory(kilobytes)]).holds is holds


def test_what_was_not_measured_misses() -> None:
    assert judge(SMALL, []) == Verdict(SMALL, None)
    assert not judge(SMALL, []).holds
    assert judge(FASTER, [rate("ionbus", [1.0]), rate("json", [1.0])]).measured is None


def test_a_line_has_the_target_the_figure_its_spread_and_the_verdict() -> None:
    assert line(judge(SMALL, [memory(41.5)])).split() == (
        ["MISSES", "an", "idle", "session", "<=", "40", "41.5", "KB", "(41.5", "to", "41.5)"]
    )
    assert line(judge(FASTER, [])).split() == [
        "MISSES",
        "64",
        "calls",
        ">=",
        "4.5",
        "x",
        "json",
        "or",
        "msgpack",
        "not",
        "measured",
    ]


def test_each_workload_is_measured_once_with_all_that_its_targets_need() -> None:
    assert needs([FASTER, replace(FASTER, of=("raw", "json")), SMALL]) == {
        "call-64": {"ionbus", "json", "msgpack", "raw"},
        "idle-memory": {"ionbus"},
    }


@pytest.mark.parametrize("bound", [None, 2.0])
def test_a_target_has_one_bound(bound: float | None) -> None:
    with pytest.raises(ValueError, match="either at_most or at_least"):
        Target("text", "call", "ionbus", "150B", "median", at_most=bound, at_least=bound)


def test_the_file_can_be_read_and_names_what_there_is() -> None:
    targets = read()
    assert len(targets) > 20
    assert all(target.text for target in targets)
