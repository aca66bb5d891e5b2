"""The parts of what ships, whatever the times and the order: a bucket, a circuit, keys that fade, and what is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, strategies as st

from ionbus.middleware.circuit_breaker import Breaker
from ionbus.middleware.passing import Fading
from ionbus.middleware.rate_limit import TokenBucket

PAUSES = st.lists(st.floats(0.0, 3.0), max_size=60)


@given(rate=st.floats(0.1, 50.0), burst=st.integers(1, 10), pauses=PAUSES)
def test_in_no_stretch_of_time_do_more_pass_than_the_burst_and_the_rate_allow(
    rate: float, burst: int, pauses: list[float]
) -> None:
    at, passed = 0.0, []
    bucket = TokenBucket(rate, float(burst), at)
    for pause in pauses:
        at += pause
        if not bucket.wait(at):
            bucket.take()
            passed.append(at)
    for index, began in enumerate(passed):
        for count, ended in enumerate(passed[index:], 1):
            assert count <= burst + (ended - began) * rate + 1e-6


@given(rate=st.floats(0.1, 50.0), pauses=PAUSES)
def test_whoever_waits_as_long_as_told_passes(rate: float, pauses: list[float]) -> None:
    at = 0.0
    bucket = TokenBucket(rate, 1.0, at)
    for pause in pauses:
        at += pause
        at += bucket.wait(at) + 1e-6
        assert bucket.wait(at) == 0
        bucket.take()


@given(
    failures=st.integers(1, 5),
    steps=st.lists(st.tuples(st.floats(0.0, 8.0), st.sampled_from(["good", "bad", "lost"])), max_size=60),
)
def test_a_circuit_is_open_only_after_failures_on_end_and_never_for_longer_than_its_reset(
    failures: int, steps: list[tuple[float, str]]
) -> None:
    breaker, at, on_end = Breaker(failures, 10.0), 0.0, 0
    for pause, result in steps:
        at += pause
        wait = breaker.wait(at)
        assert 0 <= wait <= 10.0 + 1e-9  # sums of floats are not exact
        if wait:
            assert on_end >= failures
            continue
        breaker.begin()
        if result == "good":
            breaker.succeeded()
            on_end = 0
        elif result == "bad":
            breaker.failed(at)
            on_end += 1
            assert (breaker.wait(at) > 0) == (on_end >= failures)
        else:
            breaker.given_up()


@given(
    limit=st.integers(1, 5),
    steps=st.lists(st.tuples(st.floats(0.0, 4.0), st.integers(0, 8)), max_size=60),
)
def test_a_value_is_found_while_it_is_young_and_one_of_the_newest(
    limit: int, steps: list[tuple[float, int]]
) -> None:
    kept: Fading[float] = Fading(10.0, limit)
    model: dict[int, float] = {}
    at = 0.0
    for pause, key in steps:
        at += pause
        young = {each: began for each, began in model.items() if at - began < 10.0}
        for each in range(9):
            assert kept.get(each, at) == young.get(each)
        kept.put(key, at, at)
        young.pop(key, None)
        model = dict(list({**young, key: at}.items())[-limit:])
        assert len(kept) == len(model)


@pytest.mark.parametrize(
    ("name", "missing", "extra"), [("retry", "tenacity", "retry"), ("tracing", "opentelemetry", "otel")]
)
def test_what_needs_an_extra_says_which(name: str, missing: str, extra: str) -> None:
    code = f"""
import sys
sys.modules[{missing!r}] = None
import ionbus.middleware
assert {name!r} in dir(ionbus.middleware)
try:
    ionbus.middleware.{name}
except ModuleNotFoundError as error:
    print(error)
try:
    ionbus.middleware.nothing
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f'{name}() needs {missing}: pip install "ionbus[{extra}]"',
        "module 'ionbus.middleware' has no attribute 'nothing'",
    ]
