"""`make simulate` in short: some hundred seeds in Python, some tens with the TypeScript engines as clients."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ionbus.session.session import Session
from ionbus.testing.simulator import Plan, Simulation, draw
from trials import simulate
from trials.node_engines import ROOT, build, node_engines
from trials.report import Report


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
        broken = [engines.simulate(draw(seed)).run() for seed in range(6)]
    assert {each.rule for each in broken if each is not None} == {"difference"}


def test_a_failing_seed_is_left_where_it_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Session, "_has_credit", lambda _: True)
    monkeypatch.setattr(simulate, "LEFT", ROOT / "build" / "simulate" / tmp_path.name)
    seed, broken = simulate.run_seeds(range(20)).broken[0]
    path = ROOT / simulate.leave(seed, broken, False)
    left = Plan.from_json(json.loads(path.read_text()))
    again = Simulation(left).run()
    assert again is not None
    assert again.rule == broken.rule
    report = Report("simulate")
    simulate.repeat(report, left, with_typescript=False, vector=None)
    assert report.violations == [str(again)]
