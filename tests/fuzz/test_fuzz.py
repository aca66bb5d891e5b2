"""A short run over each target, and every input that was a finding once; `make fuzz` is the long one."""

from __future__ import annotations

import pytest

from fuzz import growth, registry
from fuzz.driver import corpus, drive, judge

SEED = 20_261_124
INPUTS = {
    "dispatch": 1_500,
    "client": 800,
    "websocket": 2_000,
    "description": 800,
    "websocket_client": 2_000,
    "asyncapi": 1_000,
    "forms": 2_000,
    "values": 3_000,
    "connection": 4_000,
}
"""Fewer where one input is a whole conversation; else 5,000."""


# Pydantic and the standard library warn of odd values, as of True for an IP address.
@pytest.mark.filterwarnings("default::DeprecationWarning")
@pytest.mark.parametrize("name", registry.NAMES)
def test_hostile_input_does_no_harm(name: str) -> None:
    target = registry.load(name)
    try:
        report = drive(target, SEED, INPUTS.get(name, 5_000))
    finally:
        target.close()
    assert not report.findings, "\n".join(f"{each.text}: {each.data.hex()}" for each in report.findings)
    assert len(report.outcomes) > 10, "nothing but refusals of one kind"


@pytest.mark.filterwarnings("default::DeprecationWarning")
@pytest.mark.parametrize("name", registry.NAMES)
def test_what_was_a_finding_is_none_any_more(name: str) -> None:
    target = registry.load(name)
    try:
        for told, data in corpus(name).items():
            _, finding = judge(target, data)
            assert finding is None, f"{told}: {finding.text}"
    finally:
        target.close()


@pytest.mark.filterwarnings("default::DeprecationWarning")
@pytest.mark.parametrize("name", growth.FAMILIES)
def test_what_is_made_to_be_expensive_is_taken_or_refused(name: str) -> None:
    """How its cost grows `make fuzz` tells."""
    growth.FAMILIES[name](4_096)
