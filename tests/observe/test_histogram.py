"""Histograms: a quantile is at most an eighth off, whatever the values are."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from ionbus.observe.histogram import BUCKETS, Histogram, coarse, quantile, upper_bound

VALUES = st.integers(min_value=0, max_value=2**63 - 1)


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def test_buckets_follow_on_one_another() -> None:
    bounds = [upper_bound(bucket) for bucket in range(BUCKETS)]
    assert all(low < high for low, high in pairwise(bounds))
    assert bounds[:9] == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert bounds[-1] == 2**63 - 1


@given(VALUES)
def test_a_value_is_in_the_one_bucket_whose_bounds_are_around_it(value: int) -> None:
    bucket = filled([value]).counts.index(1)
    assert value <= upper_bound(bucket)
    assert bucket == 0 or value > upper_bound(bucket - 1)


@given(st.lists(VALUES, min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_in_the_bucket_of_the_value_that_it_estimates(values: list[int], share: float) -> None:
    ranked = sorted(values)
    exact = ranked[max(0, -(-len(ranked) * share // 1).__int__() - 1)]
    estimate = quantile(filled(values).counts, share)
    assert exact * 0.75 - 1 <= estimate <= exact * 1.25 + 1


def test_quantiles_of_an_exponential_distribution() -> None:
    numbers = random.Random(7)
    values = [int(numbers.expovariate(1) * 1e6) for _ in range(20_000)]
    counts = filled(values).counts
    for share in (0.5, 0.9, 0.99):
        exact = sorted(values)[int(len(values) * share)]
        assert quantile(counts, share) == pytest.approx(exact, rel=0.05)


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantile(Histogram().counts, 0.99) == 0


def test_a_clock_that_was_set_back_counts_as_nothing() -> None:
    histogram = filled([-5])
    assert (histogram.counts[0], histogram.sum) == (1, 0)


@given(st.lists(st.integers(0, 5_000), max_size=100))
def test_coarse_buckets_are_cumulative(values: list[int]) -> None:
    bounds = [2**power - 1 for power in range(1, 14)]
    expected = [sum(value <= bound for value in values) for bound in bounds]
    assert coarse(filled(values).counts, bounds) == expected
