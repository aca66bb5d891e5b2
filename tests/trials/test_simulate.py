"""`make simulate` in short: some hundred seeds in Python, some tens with the TypeScript engines as clients."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ionbus.session.session import Session
from ionbus.testing.simulator import Plan, Simulation, as_vector, draw, shrink
from trials import simulate
from trials.node_engines import ROOT, build, node_engines
from trials.report import Report
from vectors.replay import record_simulated


@pytest.mark.slow
def test_python_against_python() -> None:
    found = simulate.run_seeds(range(250))
    assert found.broken == []
    assert found.steps > 100_000
    happened = found.tally
    for what in (
        "told resumed",
        "told lost",
        "told fresh",
        "in parts",
        "nil",
        "withdrawn",
        "rejected",
        "forgotten",
    ):
        assert happened[what] > 0, what


@pytest.mark.slow
def test_python_against_typescript() -> None:
    build()
    with node_engines() as engines:
        found = simulate.run_seeds(range(40), engines)
    assert found.broken == []
    assert found.steps > 20_000


@pytest.mark.slow
def test_a_difference_between_the_two_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "tell_credit", lambda _: None)
    build()
    with node_engines() as engines:
        plan = draw(next(seed for seed, _ in simulate.run_seeds(range(20), engines).broken))
        small = shrink(plan, runs=200, simulate=engines.simulate)
        found = engines.simulate(small).run()
        assert found is not None
        assert found.rule == "difference"
        inputs = as_vector(small, "found", simulate=engines.simulate)
    with_bug = record_simulated(inputs)
    monkeypatch.undo()
    assert record_simulated(inputs) != with_bug


def test_a_failing_seed_is_left_where_it_can_be_repeated_and_becomes_a_vector(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = ROOT / "build" / "simulate" / tmp_path.name
    monkeypatch.setattr(Session, "_has_credit", lambda _: True)
    monkeypatch.setattr(simulate, "LEFT", folder)
    vectors = folder / "simulated.json"
    monkeypatch.setattr(simulate, "SIMULATED", vectors)
    seed, broken = simulate.run_seeds(range(20)).broken[0]
    path = ROOT / simulate.leave(seed, with_typescript=False)
    left = Plan.from_json(json.loads(path.read_text()))
    again = Simulation(left).run()
    assert again is not None
    assert again.rule == broken.rule
    vectors.write_text("[]")
    report = Report("simulate")
    simulate.repeat(report, left, with_typescript=False, vector="beyond its credit")
    assert report.violations == [str(again)]
    [vector] = json.loads(vectors.read_text())
    assert vector["name"] == "beyond its credit"
    assert record_simulated(vector) == vector
    monkeypatch.undo()
    assert record_simulated(vector) != vector
