"""Figures of a benchmark, and how they stand to each other."""

from pathlib import Path

import pytest
from benchmarks.record import Ratio, Record, Run, load, quartiles, ratio, record
from benchmarks.report import markdown, number, with_ratios


def call(system: str, *rounds: float) -> Record:
    return record("call", system, "150B", "median", "us", rounds)


def test_a_record_has_the_median_and_the_quartiles_of_its_rounds() -> None:
    made = call("ionbus", 1.0, 5.0, 2.0, 4.0, 3.0)
    assert (made.value, made.spread, made.rounds) == (3.0, (2.0, 4.0), (1.0, 5.0, 2.0, 4.0, 3.0))


def test_a_single_round_has_no_spread() -> None:
    assert quartiles([7.0]) == (7.0, 7.0)


def test_a_ratio_is_taken_round_by_round() -> None:
    busy_in_the_second_round = ratio(call("ionbus", 10.0, 40.0, 10.0), call("raw", 5.0, 20.0, 5.0))
    assert busy_in_the_second_round == Ratio(2.0, (2.0, 2.0))


def test_figures_of_other_rounds_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="ionbus and raw were not measured in the same rounds"):
        ratio(call("ionbus", 1.0), call("raw", 1.0, 2.0))


def test_each_record_is_compared_with_the_references_own_figure() -> None:
    other_metric = record("call", "raw", "150B", "p99", "us", [9.0])
    mine, raw, _ = with_ratios([call("ionbus", 4.0), call("raw", 2.0), other_metric], ["raw"])
    assert mine.ratio_to == {"raw": Ratio(2.0, (2.0, 2.0))}
    assert raw.ratio_to == {}


def test_a_run_is_read_as_it_was_saved(tmp_path: Path) -> None:
    run = Run({"loop": "uvloop"}, with_ratios([call("ionbus", 4.0, 5.0), call("raw", 2.0, 2.0)], ["raw"]))
    run.save(tmp_path / "results" / "run.json")
    assert load(tmp_path / "results" / "run.json") == run


def test_the_report_has_a_table_for_each_workload() -> None:
    run = Run(
        {"loop": "uvloop"}, [call("ionbus", 4.0), record("call", "ionbus", "150B", "p99", "us", [1234.0])]
    )
    assert markdown(run).splitlines() == [
        "Measured on: loop uvloop.",
        "",
        "### call, 150B",
        "",
        "| system | median (us) | p99 (us) |",
        "| --- | ---: | ---: |",
        "| ionbus | 4.00 (4.00 to 4.00) | 1,234 (1,234 to 1,234) |",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.1234, "0.123"), (1.5, "1.50"), (31.44, "31.4"), (271_200.4, "271,200")]
)
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text
