"""Cuts a failing plan down to the few steps that it takes (delta debugging: Zeller and Hildebrandt, 2002)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields, replace
from typing import Final

from ionbus.testing.simulator.broken import Broken
from ionbus.testing.simulator.plan import Plan, Quality, Step
from ionbus.testing.simulator.simulation import Simulation

Fails = Callable[[Plan], bool]
Simulate = Callable[[Plan], Simulation]
"""Makes the simulation of a plan: `Simulation` itself, or one that has more engines take part."""

_SMALLER: Final[dict[str, tuple[int, ...]]] = {
    "size": (0, 1, 10, 60, 230, 300, 700),
    "ms": (0, 1, 10, 60, 200),
    "nth": (0, 1, 2),
}


def shrink(plan: Plan, *, runs: int = 3_000, simulate: Simulate = Simulation) -> Plan:
    """The smallest plan found that breaks the same rule.

    Args:
        plan: one that fails.
        runs: so many plans are tried at most.
        simulate: makes the simulation of a plan.

    Raises:
        ValueError: `plan` does not fail.
    """
    rule = failing(plan, simulate).rule

    def fails(candidate: Plan) -> bool:
        broken = simulate(candidate).run()
        return broken is not None and broken.rule == rule

    tries = _Tries(fails, runs)
    while True:
        before = plan
        plan = _first_that_fails(plan, _simpler_plans, tries)
        plan = _fewer_steps(plan, tries)
        plan = _first_that_fails(plan, _simpler_steps, tries)
        if plan == before or tries.left <= 0:
            return plan


def failing(plan: Plan, simulate: Simulate = Simulation) -> Broken:
    """What a plan breaks.

    Raises:
        ValueError: nothing.
    """
    broken = simulate(plan).run()
    if broken is None:
        raise ValueError("the plan does not fail")
    return broken


class _Tries:
    """Runs plans as long as there are tries left."""

    def __init__(self, fails: Fails, left: int) -> None:
        self.left = left
        self._fails = fails

    def __call__(self, plan: Plan) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return self._fails(plan)


def _fewer_steps(plan: Plan, fails: Fails) -> Plan:
    """Leave out as many steps as possible, in ever smaller pieces."""
    size = max(1, len(plan.steps) // 2)
    while True:
        start = 0
        while start < len(plan.steps):
            fewer = replace(plan, steps=plan.steps[:start] + plan.steps[start + size :])
            if fails(fewer):
                plan = fewer
            else:
                start += size
        if size == 1:
            return plan
        size = max(1, size // 2)


def _first_that_fails(plan: Plan, simpler: Callable[[Plan], Iterable[Plan]], fails: Fails) -> Plan:
    """Go to a simpler plan as long as one fails."""
    while True:
        for candidate in simpler(plan):
            if fails(candidate):
                plan = candidate
                break
        else:
            return plan


def _simpler_plans(plan: Plan) -> Iterator[Plan]:
    """Everything around the steps as it is by default, as far as that goes; and fewer clients."""
    for client in range(plan.clients):
        if plan.clients > 1 and client not in (plan.hostile, plan.plain_chance):
            yield _without(plan, client)
    if plan.hostile is not None:
        yield replace(plan, hostile=None)
    for name in plan.client_limits:
        yield replace(
            plan, client_limits={key: value for key, value in plan.client_limits.items() if key != name}
        )
    for name in plan.broker_limits:
        yield replace(
            plan, broker_limits={key: value for key, value in plan.broker_limits.items() if key != name}
        )
    if plan.is_eager:
        yield replace(plan, is_eager=False)
    for part in fields(Quality):
        if getattr(plan.quality, part.name) != part.default:
            yield replace(plan, quality=Quality(**{**asdict(plan.quality), part.name: part.default}))


def _without(plan: Plan, client: int) -> Plan:
    """The plan without one of its clients."""

    def moved(number: int) -> int:
        return number - (number > client)

    return replace(
        plan,
        clients=plan.clients - 1,
        hostile=None if plan.hostile is None else moved(plan.hostile),
        plain_chance=None if plan.plain_chance is None else moved(plan.plain_chance),
        steps=tuple(replace(step, client=moved(step.client)) for step in plan.steps if step.client != client),
    )


def _simpler_steps(plan: Plan) -> Iterator[Plan]:
    """One step as by default in one of its fields, or with a smaller number; or two that advance the time as one."""
    for index, step in enumerate(plan.steps):
        for simpler in _simpler(step):
            yield replace(plan, steps=(*plan.steps[:index], simpler, *plan.steps[index + 1 :]))


def _simpler(step: Step) -> Iterator[Step]:
    for part in fields(step)[1:]:
        value = getattr(step, part.name)
        if value == part.default:
            continue
        if part.name in _SMALLER:
            for smaller in _SMALLER[part.name]:
                if smaller < value:
                    yield Step(**{**step.to_json(), part.name: smaller})
        else:
            yield Step(**{**step.to_json(), part.name: part.default})
