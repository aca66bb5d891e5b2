"""A worker that is stepped by hand, in the callback that took a frame, is to its handlers what any task is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ionbus.dispatch.runner import PATIENCE, Habit, Runner
from test_runner import Account, turns
from workshop import eventually

Handler = Callable[[], Coroutine[Any, Any, None]]


class Frames:
    """Gives handlers to a runner as a broker does that takes a frame."""

    def __init__(self, at: Account) -> None:
        self.at = at

    async def bring(self, *handlers: Handler, habit: Habit | None = None) -> list[str]:
        """Take a frame in a callback of the loop; what was said before that was over."""
        said: list[str] = []
        loop = asyncio.get_running_loop()
        taken = loop.create_future()

        def take() -> None:
            self.at.runner.is_held = True
            for handler in handlers:
                self.at.start(self._saying(handler, said), habit or Habit())
            said.append("read")
            self.at.runner.release()
            taken.set_result(list(said))

        loop.call_soon(take)
        result: list[str] = await taken
        return result

    async def _saying(self, handler: Handler, said: list[str]) -> None:
        said.append("started")
        await handler()
        said.append("ended")


@asynccontextmanager
async def frames() -> AsyncIterator[Frames]:
    at = Account(Runner(asyncio.get_running_loop(), parks=True))
    made = Frames(at)
    assert await made.bring(quick) == ["read"]  # there is no worker yet
    await at.all_ended()
    yield made
    await at.all_ended()
    assert await made.bring(quick) == ["read", "started", "ended"]  # whatever was before: it is as it was
    await at.runner.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def quick() -> None:
    pass


async def wait_a_turn() -> None:
    await asyncio.sleep(0)


async def test_what_a_frame_brings_has_run_when_its_callback_ends() -> None:
    async with frames() as at:
        assert await at.bring(quick, quick) == ["read", "started", "ended", "started", "ended"]


async def test_in_a_task_it_starts_in_a_later_turn() -> None:
    async with frames() as at:
        runner, runs = at.at.runner, []

        async def run() -> None:
            runs.append(asyncio.current_task())

        runner.is_held = True
        at.at.start(run())
        runner.release()
        assert runs == []
        await at.at.all_ended()
        assert len(runs) == 1
        assert runs[0] is not asyncio.current_task()


async def test_one_that_waits_keeps_its_task_and_those_behind_it_run() -> None:
    async with frames() as at:
        tasks: list[Any] = []

        async def wait() -> None:
            tasks.append(asyncio.current_task())
            await asyncio.sleep(0)
            tasks.append(asyncio.current_task())
            await asyncio.sleep(0.001)
            tasks.append(asyncio.current_task())

        assert await at.bring(wait, quick) == ["read", "started"]
        await at.at.all_ended()
        assert len(tasks) == 3
        assert len(set(tasks)) == 1
        await at.bring(quick)  # a worker that parks


async def test_what_is_known_to_wait_starts_before_what_follows_it() -> None:
    async with frames() as at:
        order: list[str] = []

        async def slow() -> None:
            order.append("slow")
            await asyncio.sleep(0)

        async def fast() -> None:
            order.append("fast")

        habit = Habit()
        habit.waits = PATIENCE
        runner = at.at.runner

        def take() -> None:
            runner.is_held = True
            at.at.start(slow(), habit)
            at.at.start(fast(), Habit())
            runner.release()

        asyncio.get_running_loop().call_soon(take)
        await eventually(lambda: len(order) == 2)
        await at.at.all_ended()
        assert order == ["slow", "fast"]


async def test_a_timeout_that_begins_in_the_first_step_is_kept() -> None:
    async with frames() as at:
        said: list[str] = []

        async def handler() -> None:
            try:
                async with asyncio.timeout(0.005):
                    await asyncio.Event().wait()
            except TimeoutError:
                said.append("in time")
            await asyncio.sleep(0)
            said.append("and on")

        await at.bring(handler)
        await at.at.all_ended()
        assert said == ["in time", "and on"]


@pytest.mark.parametrize("when", ["before it waits", "after it waits"])
async def test_one_that_is_cancelled_is_cancelled_where_it_waits(when: str) -> None:
    async with frames() as at:
        said: list[str] = []
        tasks: list[asyncio.Task[Any]] = []

        async def handler() -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.append(task)
            if when == "before it waits":
                task.cancel()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                said.append("cancelled")
                raise

        await at.bring(handler, quick)
        if when == "after it waits":  # asyncio has not yet woken the worker
            tasks[0].cancel()
        await at.at.all_ended()
        assert said == ["cancelled"]
        await at.bring(quick)


async def test_one_that_cancels_itself_and_ends_cancels_nobody_else() -> None:
    async with frames() as at:

        async def handler() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

        said = await at.bring(handler, quick, quick)
        assert said[:3] == ["read", "started", "ended"]
        await at.at.all_ended()
        assert not [error for error in at.at.errors if not isinstance(error, asyncio.CancelledError)]
        await at.bring(quick)


async def test_who_cancels_the_task_of_one_that_has_ended_stops_no_other() -> None:
    async with frames() as at:
        tasks: list[asyncio.Task[Any]] = []

        async def handler() -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.append(task)

        await at.bring(handler)
        tasks[0].cancel()
        assert await at.bring(quick, quick) == ["read"]  # by another worker, then
        await at.at.all_ended()


async def test_a_long_queue_lets_others_have_their_turn() -> None:
    async with frames() as at:
        loop = asyncio.get_running_loop()

        async def busy() -> None:
            until = loop.time() + 0.001
            while loop.time() < until:
                pass

        said = await at.bring(*[busy] * 20)
        assert 1 <= said.count("ended") < 20
        await at.at.all_ended()
        await at.bring(quick)


async def test_what_fails_is_told_and_stops_nobody() -> None:
    async with frames() as at:

        async def fail() -> None:
            raise ValueError("in a handler")

        assert await at.bring(fail, quick) == ["read", "started", "started", "ended"]
        assert [type(error) for error in at.at.errors] == [ValueError]


async def test_one_that_stops_the_runner_leaves_no_task() -> None:
    at = Frames(Account(Runner(asyncio.get_running_loop(), parks=True)))
    await at.bring(quick)
    await at.at.all_ended()
    assert await at.bring(at.at.runner.stop, quick) == ["read", "started", "ended", "started", "ended"]
    await turns(3)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_loop_ends_it_and_the_others_run_when_it_goes_on(kind: type[BaseException]) -> None:
    loop = asyncio.new_event_loop()
    try:
        at = Frames(Account(Runner(loop, parks=True)))
        ended: list[str] = []

        async def interrupt() -> None:
            raise kind

        async def say() -> None:
            ended.append("quick")

        loop.run_until_complete(at.bring(quick))
        loop.run_until_complete(turns(3))
        frame = loop.create_task(at.bring(interrupt, say))
        with pytest.raises(kind):
            loop.run_until_complete(frame)
        loop.run_until_complete(turns(5))
        assert ended == ["quick"]
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(turns(2))
        assert not asyncio.all_tasks(loop)
    finally:
        loop.close()
