"""One run of a plan, from the first step to its last, and what it found."""

from __future__ import annotations

import math
import traceback
from collections import Counter
from dataclasses import replace

from ionbus.testing.simulator.broken import Broken
from ionbus.testing.simulator.client import Client
from ionbus.testing.simulator.plan import Plan, Step
from ionbus.testing.simulator.served import Served
from ionbus.testing.simulator.stranger import Stranger
from ionbus.testing.simulator.world import Actor, FollowClient, FollowSession, World


class Simulation:
    """Runs a plan once: `Simulation(draw(seed)).run()`.

    Args:
        plan: what happens.
        follow_client: as for `World`.
        follow_session: likewise.

    Attributes:
        broken: the invariant that does not hold, after `run`; None where all do.
        done: how many steps of the plan were begun.
    """

    def __init__(
        self,
        plan: Plan,
        follow_client: FollowClient = lambda *_: None,
        follow_session: FollowSession = lambda *_: None,
    ) -> None:
        self.plan = plan
        self.broken: Broken | None = None
        self.done = 0
        self._world: World | None = None
        self._follow = (follow_client, follow_session)

    @property
    def steps(self) -> int:
        """How many engine steps there were."""
        return 0 if self._world is None else self._world.steps

    @property
    def tally(self) -> Counter[str]:
        """What happened how often: outcomes, ends, refusals, fates of messages."""
        return Counter() if self._world is None else self._world.tally

    @property
    def now(self) -> float:
        """Milliseconds of virtual time."""
        return 0.0 if self._world is None else self._world.clock.now

    @property
    def calm_since(self) -> float:
        """When the steps of the plan were done and the faults stopped: milliseconds of virtual time."""
        return math.inf if self._world is None else self._world.calm_since

    def run(self) -> Broken | None:
        """Do every step, let everything come to rest, close all; gives the invariant that broke."""
        try:
            self._world = world = World(self.plan, *self._follow)
            for step in self.plan.steps:
                self.done += 1
                do(world, step)
            world.settle()
            world.close()
        except Broken as broken:
            self.broken = broken
        except Exception as error:  # noqa: BLE001 - whatever an engine raises is a finding too
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename.rpartition('ionbus/')[2]}:{frame.lineno}"
            self.broken = Broken(f"raised {type(error).__name__}", f"{error} at {where}")
            self.broken.__cause__ = error
        return self.broken


def do(world: World, step: Step) -> None:
    """One choice of a plan."""
    client = world.clients[step.client % len(world.clients)]
    match step.do:
        case "run" | "wait":
            world.advance(step.ms)
        case "cut":
            client.cut(step.nth, step.noticed, step.ms)
        case "trip":
            client.trip(step.direction, step.nth + 1, step.noticed, step.ms)
        case "stall":
            client.stall(step.direction)
        case "flow":
            world.resume(client)
        case "quality":
            world.set_quality(replace(world.quality, delay=step.ms))
        case "refuse":
            client.refusals += step.nth + 1
        case "retry":
            world.touch(client)
            client.retry()
        case "close":
            world.touch(client)
            client.close()
        case "restart":
            world.restart(in_good_order=step.is_right)
        case "publish":
            for served in list(world.broker.live.values()):
                _use(world, served, step)
        case "expel" | "end":
            served_ = world.served(client)
            if served_ is not None:
                world.touch(served_)
                served_.end("slow_consumer") if step.do == "end" else served_.expel()
        case _:
            actor = client if step.role == "client" else world.served(client)
            if actor is not None and not (isinstance(actor, Client) and actor.is_closed):
                _use(world, actor, step)


def _use(world: World, actor: Actor, step: Step) -> None:
    """What an application does."""
    world.touch(actor)
    side = actor.side
    if isinstance(side, Stranger):
        side.call(step.size) if step.do == "call" else side.event(step.size)
        return
    match step.do:
        case "event" | "publish":
            side.event(step.delivery, step.size, step.key)
            if isinstance(actor, Served):
                actor.bound()
        case "call" | "stream":
            side.requests.ask(step.do, step.size)
        case "cancel":
            side.requests.cancel(step.nth)
        case "answer":
            side.requests.answer(step.nth, step.size, is_right=step.is_right)
        case "item":
            side.requests.item(step.nth, step.size)
        case "take":
            side.take(step.nth + 1)
        case "read":
            side.requests.read(step.nth, step.nth + 1)
        case "subscribe":
            if isinstance(actor, Client):
                side.subscribe()
        case _:
            raise ValueError(f"no such step: {step.do}")
