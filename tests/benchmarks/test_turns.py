"""Whose turn it is, and for how long."""

from benchmarks.turns import Figures, Run, count_for, take_turns


def takes(seconds: float, log: list[str] | None = None, name: str = "") -> Run:
    """A run that takes so long for each."""

    def run(count: int) -> Figures:
        if log is not None:
            log.append(name)
        return {"seconds": seconds * count}

    return run


def test_a_count_takes_about_the_seconds_that_were_asked_for() -> None:
    assert count_for(takes(0.001), seconds=0.4, at_least=1) == 400


def test_a_count_is_never_less_than_what_it_has_to_be() -> None:
    assert count_for(takes(1.0), seconds=0.4, at_least=128) == 128


def test_a_slow_first_time_does_not_count() -> None:
    slow = [10.0, 0.3]

    def run(count: int) -> Figures:
        return {"seconds": slow.pop(0) if slow else 0.001 * count}

    assert count_for(run, seconds=0.4, at_least=1) == 400


def test_what_is_warmed_up_with_comes_first() -> None:
    counts: list[int] = []

    def run(count: int) -> Figures:
        counts.append(count)
        return {"seconds": 0.001 * count}

    count_for(run, seconds=0.4, at_least=2, warm_up=5_000)
    assert counts[:2] == [5_000, 2]


def test_each_has_its_turn_in_each_round_after_all_are_warm() -> None:
    log: list[str] = []
    turns = take_turns({name: takes(0.2, log, name) for name in "ab"}, rounds=3, seconds=0.4)
    assert "".join(log[-6:]) == "ababab"
    assert set(log[:-6]) == {"a", "b"}
    assert {name: len(rounds) for name, rounds in turns.items()} == {"a": 3, "b": 3}
    assert turns["a"][0] == ({"seconds": 0.4}, 2)
