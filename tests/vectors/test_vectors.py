"""The Python implementation against `schemas/vectors/`; js-shim/test/vectors.test.ts is the twin."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ionbus.generated.protocol import Limits
from vectors.aggregation import AGGREGATIONS, FILTERS, record_aggregation, record_filters
from vectors.fates import FATES, record_fates
from vectors.replay import (
    CONNECTIONS,
    FRAMES,
    MESSAGES,
    SESSIONS,
    SIMULATED,
    ConnectionRun,
    SessionRun,
    record_simulated,
)


def cases(path: Path) -> pytest.MarkDecorator:
    loaded = json.loads(path.read_text())
    return pytest.mark.parametrize("case", loaded, ids=[case["name"] for case in loaded])


@cases(SESSIONS)
def test_session(case: dict[str, Any]) -> None:
    assert SessionRun(replace(Limits(), **case["limits"])).record(case["steps"]) == case["steps"]


@cases(CONNECTIONS)
def test_connection(case: dict[str, Any]) -> None:
    assert ConnectionRun(replace(Limits(), **case["limits"])).record(case["steps"]) == case["steps"]


@cases(SIMULATED)
def test_simulated(case: dict[str, Any]) -> None:
    assert record_simulated(case) == case


@cases(MESSAGES.path)
def test_message(case: dict[str, Any]) -> None:
    assert MESSAGES.judge(bytes.fromhex(case["bytes"])) == case["is"]


@cases(FRAMES.path)
def test_frame(case: dict[str, Any]) -> None:
    assert FRAMES.judge(bytes.fromhex(case["bytes"])) == case["is"]


@cases(FATES)
def test_fates(case: dict[str, Any]) -> None:
    assert record_fates(case) == case


@cases(AGGREGATIONS)
def test_aggregation(case: dict[str, Any]) -> None:
    assert record_aggregation(case) == case


def test_filters() -> None:
    assert record_filters() == json.loads(FILTERS.read_text())
