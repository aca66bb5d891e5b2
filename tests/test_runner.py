"""Handlers are started in order, wait for nobody, and find a task of their own around them, though few have one."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from contextvars import Context, ContextVar
from typing import Any

import pytest

from ionbus.dispatch.runner import PATIENCE, Habit, Runner, Work, Works
from workshop import eventually

Kind = Callable[[], Coroutine[Any, Any, None]]


class Account:
    """A keeper that remembers what it is told. What ends without ever waiting it counts itself."""

    def __init__(self, runner: Runner, most: int = 1_000_000) -> None:
        self.runner = runner
        self.habit = Habit()
        self.most = most
        self.tasks: set[asyncio.Task[Any]] = set()
        self.errors: list[BaseException | None] = []
        self.given = 0
        self.runs = 0
        self.parked: list[tuple[Works, Context]] = []

    def start(self, work: Coroutine[Any, Any, None], habit: Habit | None = None) -> None:
        self.given += 1
        self.runs += 1
        self.runner.start_one(work, self, habit or self.habit)

    def start_each(self, works: Generator[tuple[Work, Habit], None, None]) -> None:
        self.runs += 1
        self.runner.start(works, self)

    def is_full(self) -> bool:
        return len(self.tasks) >= self.most

    def park(self, works: Works, context: Context) -> None:
        self.parked.append((works, context))

    def begun(self) -> None:
        self.runs -= 1

    def suspended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.add(task)

    def ended(self, task: asyncio.Task[Any] | None, error: BaseException | None) -> None:
        if task is not None:
            self.tasks.remove(task)
            parked, self.parked = self.parked, []
            for works, context in reversed(parked):
                self.runner.resume(works, self, context)
        if error is not None:
            self.errors.append(error)

    async def all_ended(self) -> None:
        await eventually(lambda: not self.runs and not self.tasks, "the end of all")


@asynccontextmanager
async def account() -> AsyncIterator[Account]:
    made = Account(Runner(asyncio.get_running_loop()))
    yield made
    await made.all_ended()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def be_busy() -> None:
    """For so long that two of them are enough for one turn of the loop."""
    until = time.perf_counter() + 0.001
    while time.perf_counter() < until:
        pass


def waiting() -> Habit:
    habit = Habit()
    habit.waits = PATIENCE
    return habit


habits = pytest.mark.parametrize("habit", [Habit, waiting], ids=["in the queue", "alone"])


async def test_nothing_starts_before_the_next_turn() -> None:
    async with account() as at:
        said: list[str] = []

        async def say(what: str) -> None:
            said.append(what)

        at.start(say("one"))
        at.start(say("two"))
        assert said == []
        await turns(2)
        assert said == ["one", "two"]


@pytest.mark.parametrize("pattern", ["q", "w", "qw", "wq", "qqw", "wwq", "qwwq", "wqqw", "qwqwwwqqq"])
async def test_all_start_in_order_whether_they_wait_or_not_and_whether_that_is_known_or_not(
    pattern: str,
) -> None:
    async with account() as at:
        started: list[int] = []
        gate = asyncio.Event()

        async def quick(number: int) -> None:
            started.append(number)

        async def wait(number: int) -> None:
            started.append(number)
            await gate.wait()

        quick_habit, waits_habit = Habit(), Habit()
        for number in range(100):
            if pattern[number % len(pattern)] == "q":
                at.start(quick(number), quick_habit)
            else:
                at.start(wait(number), waits_habit)
            if number % 7 == 0:
                await asyncio.sleep(0)
        await eventually(lambda: len(started) == 100)
        assert started == list(range(100))
        gate.set()


async def test_what_is_given_by_a_handler_starts_after_what_was_given_before() -> None:
    async with account() as at:
        started: list[str] = []

        async def leaf(name: str) -> None:
            started.append(name)

        async def giver(name: str) -> None:
            started.append(name)
            at.start(leaf(f"{name}, alone"), waiting())
            at.start(leaf(f"{name}, queued"), Habit())

        at.start(giver("a"))
        at.start(giver("b"))
        await at.all_ended()
        assert started == ["a", "b", "a, alone", "a, queued", "b, alone", "b, queued"]


async def test_none_waits_for_one_that_suspends() -> None:
    async with account() as at:
        gate = asyncio.Event()
        ended: list[str] = []

        async def wait() -> None:
            await gate.wait()
            ended.append("wait")

        async def quick() -> None:
            ended.append("quick")

        at.start(wait())
        at.start(quick(), Habit())
        await eventually(lambda: ended == ["quick"])
        gate.set()
        await eventually(lambda: ended == ["quick", "wait"])


async def test_many_that_are_known_to_wait_start_in_one_turn() -> None:
    async with account() as at:
        gate = asyncio.Event()
        started = 0

        async def wait() -> None:
            nonlocal started
            started += 1
            await gate.wait()

        habit = waiting()
        for _ in range(PATIENCE):
            at.start(wait(), habit)
        await asyncio.sleep(0)
        assert started == PATIENCE
        gate.set()


async def test_what_no_longer_waits_comes_back_to_the_queue() -> None:
    async with account() as at:
        tasks: set[int] = set()

        async def quick() -> None:
            tasks.add(id(asyncio.current_task()))

        habit = waiting()
        for _ in range(2 * PATIENCE):
            at.start(quick(), habit)
        await at.all_ended()
        assert habit.waits == 0
        assert len(tasks) <= PATIENCE + 1


@habits
async def test_a_handler_has_one_task_from_its_first_line_to_its_last(habit: Callable[[], Habit]) -> None:
    async with account() as at:
        seen: list[list[Any]] = []

        async def handler() -> None:
            tasks = [asyncio.current_task()]
            seen.append(tasks)
            for _ in range(3):
                await asyncio.sleep(0)
                tasks.append(asyncio.current_task())
            await asyncio.sleep(0.001)
            tasks.append(asyncio.current_task())

        own = habit()
        for _ in range(5):
            at.start(handler(), own)
        await at.all_ended()
        assert [len(set(tasks)) for tasks in seen] == [1] * 5
        assert len({tasks[0] for tasks in seen}) == 5


@habits
async def test_a_timeout_in_a_handler_is_kept(habit: Callable[[], Habit]) -> None:
    async with account() as at:
        said: list[str] = []

        async def handler() -> None:
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                said.append("in time")
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            await asyncio.sleep(0)
            said.append("and on")

        at.start(handler(), habit())
        await at.all_ended()
        assert said == ["in time", "and on"]
        assert not at.errors


@habits
async def test_a_task_group_in_a_handler_cancels_its_others(habit: Callable[[], Habit]) -> None:
    async with account() as at:
        cancelled: list[str] = []

        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append("wait")
                raise

        async def fail() -> None:
            await asyncio.sleep(0)
            raise ValueError("in a group")

        async def handler() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(wait())
                group.create_task(fail())

        at.start(handler(), habit())
        await at.all_ended()
        assert cancelled == ["wait"]
        [error] = at.errors
        assert isinstance(error, ExceptionGroup)


async def test_a_handler_is_cancelled_by_its_task_and_no_other_is() -> None:
    async with account() as at:
        gate = asyncio.Event()
        ended: list[str] = []

        async def wait(name: str) -> None:
            try:
                await gate.wait()
                ended.append(name)
            except asyncio.CancelledError:
                ended.append(f"{name} cancelled")
                raise

        for name in "abc":
            at.start(wait(name))
            await eventually(lambda: len(at.tasks) > 0)
        await eventually(lambda: len(at.tasks) == 3)
        first, *_ = [task for task in at.tasks if "a" in waiting_for(task)]
        first.cancel()
        await eventually(lambda: ended == ["a cancelled"])
        gate.set()
        await at.all_ended()
        assert sorted(ended) == ["a cancelled", "b", "c"]
        assert len(at.errors) == 1


def waiting_for(task: asyncio.Task[Any]) -> str:
    """The name that a `wait` of the test before has: in the frame of the coroutine that the task is in."""
    inner: Any = task.get_coro()
    while inner is not None:
        frame = getattr(inner, "cr_frame", None) or getattr(inner, "gi_frame", None)
        if frame is not None:
            work = frame.f_locals.get("work")
            if work is not None and work.cr_frame is not None:
                return str(work.cr_frame.f_locals["name"])
            if "name" in frame.f_locals:
                return str(frame.f_locals["name"])
        inner = getattr(inner, "cr_await", None) or getattr(inner, "gi_yieldfrom", None)
    return ""


def cancels(task: asyncio.Task[Any]) -> None:
    task.cancel()


def cancels_and_takes_it_back(task: asyncio.Task[Any]) -> None:
    task.cancel()
    task.uncancel()


@pytest.mark.parametrize("cancel", [cancels, cancels_and_takes_it_back])
async def test_a_handler_that_cancels_itself_and_ends_cancels_nobody_else(
    cancel: Callable[[asyncio.Task[Any]], None],
) -> None:
    async with account() as at:
        ended: list[str] = []

        async def cancels_itself() -> None:
            task = asyncio.current_task()
            assert task is not None
            cancel(task)

        async def waits() -> None:
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            await asyncio.sleep(0)
            ended.append("waits")

        async def quick() -> None:
            ended.append("quick")

        at.start(cancels_itself())
        at.start(quick())
        at.start(cancels_itself())
        at.start(waits())
        at.start(quick())
        await at.all_ended()
        assert sorted(ended) == ["quick", "quick", "waits"]
        assert not at.errors


async def test_a_handler_that_cancels_itself_and_waits_is_cancelled() -> None:
    async with account() as at:
        ended: list[str] = []

        async def cancels_itself() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
            ended.append("not cancelled")

        async def waits() -> None:
            await asyncio.sleep(0)
            ended.append("waits")

        at.start(cancels_itself())
        at.start(waits())
        await at.all_ended()
        assert ended == ["waits"]
        assert [type(error) for error in at.errors] == [asyncio.CancelledError]


async def test_who_cancels_a_task_whose_handler_has_ended_stops_no_other() -> None:
    async with account() as at:
        kept: list[asyncio.Task[Any]] = []
        ended: list[int] = []

        async def handler(number: int) -> None:
            task = asyncio.current_task()
            assert task is not None
            kept.append(task)
            be_busy()
            ended.append(number)

        for number in range(20):
            at.start(handler(number))
        await eventually(lambda: ended)
        assert len(ended) < 20
        kept[0].cancel()
        await at.all_ended()
        assert ended == list(range(20))


CITY: ContextVar[str] = ContextVar("CITY", default="nowhere")


@habits
async def test_each_handler_has_a_context_of_its_own(habit: Callable[[], Habit]) -> None:
    async with account() as at:
        seen: list[str] = []

        async def handler(wait: bool) -> None:
            seen.append(CITY.get())
            CITY.set("Utrecht")
            if wait:
                await asyncio.sleep(0)
            assert CITY.get() == "Utrecht"
            task = asyncio.create_task(inner())
            assert await task == "Utrecht"

        async def inner() -> str:
            return CITY.get()

        async def quick() -> None:
            seen.append(CITY.get())
            CITY.set("Delft")

        CITY.set("Leiden")
        at.start(quick(), habit())
        at.start(handler(True), habit())
        CITY.set("Arnhem")
        at.start(handler(False), habit())
        at.start(quick(), habit())
        CITY.set("Breda")
        await at.all_ended()
        assert seen == ["Leiden", "Leiden", "Arnhem", "Arnhem"]
        assert CITY.get() == "Breda"


async def test_a_long_queue_lets_others_have_their_turn() -> None:
    async with account() as at:
        ended = 0

        async def busy() -> None:
            nonlocal ended
            be_busy()
            ended += 1

        for _ in range(50):
            at.start(busy())
        await turns(2)
        assert 0 < ended < 50


@habits
async def test_what_fails_is_told_and_stops_nobody(habit: Callable[[], Habit]) -> None:
    async with account() as at:

        async def fail(wait: bool) -> None:
            if wait:
                await asyncio.sleep(0)
            raise ValueError("in a test")

        for wait in (False, True, False, True):
            at.start(fail(wait), habit())
        await at.all_ended()
        assert [str(error) for error in at.errors] == ["in a test"] * 4


async def test_cancel_drops_what_has_not_started_and_leaves_the_work_of_others() -> None:
    async with account() as at, account() as other:
        at.runner = other.runner
        ended: list[str] = []

        async def quick(name: str) -> None:
            ended.append(name)

        for _ in range(3):
            at.start(quick("dropped"))
            other.start(quick("kept"))
        at.runner.cancel(at)
        assert at.runs == 0
        await other.all_ended()
        assert ended == ["kept"] * 3


async def test_a_handler_whose_keeper_cancels_all_from_within_it_is_cancelled_as_it_waits() -> None:
    async with account() as at:
        ended: list[str] = []

        async def closes() -> None:
            at.runner.cancel(at)
            ended.append("closed")
            await asyncio.sleep(0)
            ended.append("waited")

        async def quick() -> None:
            ended.append("quick")

        at.start(closes())
        at.start(quick())
        await at.all_ended()
        assert ended == ["closed"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("waits", [False, True])
def test_what_ends_a_loop_ends_it_and_the_others_run_when_it_goes_on(
    kind: type[BaseException], waits: bool
) -> None:
    loop = asyncio.new_event_loop()
    try:
        at = Account(Runner(loop))
        ended: list[str] = []

        async def interrupt() -> None:
            if waits:
                await asyncio.sleep(0)
            raise kind

        async def quick() -> None:
            ended.append("quick")

        async def begin() -> None:
            at.start(interrupt())
            at.start(quick())
            await asyncio.Event().wait()

        with pytest.raises(kind):
            loop.run_until_complete(begin())
        loop.run_until_complete(turns(3))
        assert ended == ["quick"]
        assert [type(error) for error in at.errors] == [kind]
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(turns(2))
    finally:
        loop.close()


async def test_a_generator_based_awaitable_that_yields_nothing_is_waited_for() -> None:
    """As `asyncio.sleep(0)` does."""

    class Bare:
        def __await__(self) -> Generator[None, None, None]:
            yield
            yield

    async with account() as at:
        ended: list[str] = []

        async def handler() -> None:
            await Bare()
            ended.append("handler")

        at.start(handler())
        await at.all_ended()
        assert ended == ["handler"]


async def test_a_worker_that_waits_is_not_collected() -> None:
    async with account() as at:
        ended: list[str] = []

        def waits_for_what_nobody_else_holds() -> Awaitable[None]:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.01, future.set_result, None)
            return future

        async def handler() -> None:
            await waits_for_what_nobody_else_holds()
            ended.append("handler")

        at.start(handler())
        await turns(2)
        gc.collect()
        await at.all_ended()
        assert ended == ["handler"]


def numbered(
    at: Account, started: list[int], gate: asyncio.Event, made: list[int], which: range
) -> Generator[tuple[Work, Habit], None, None]:
    """Coroutines of which every third waits."""

    async def handler(number: int) -> None:
        started.append(number)
        if number % 3 == 0:
            await gate.wait()

    habits = Habit(), Habit()
    for number in which:
        made.append(number)
        yield handler(number), habits[number % 3 == 0]


async def test_coroutines_are_made_one_by_one_when_their_turn_has_come() -> None:
    async with account() as at:
        made: list[int] = []
        started: list[int] = []

        async def handler(number: int) -> None:
            assert made == list(range(number + 1))
            started.append(number)

        def works() -> Generator[tuple[Work, Habit], None, None]:
            for number in range(100):
                made.append(number)
                yield handler(number), at.habit

        at.start_each(works())
        assert not made
        await at.all_ended()
        assert started == list(range(100))


async def test_those_that_are_made_one_by_one_start_in_order_with_all_others() -> None:
    async with account() as at, account() as other:
        other.runner = at.runner
        started: list[int] = []
        made: list[int] = []
        gate = asyncio.Event()

        async def single(number: int) -> None:
            started.append(number)

        at.start_each(numbered(at, started, gate, made, range(100)))
        other.start(single(100))
        at.start_each(numbered(at, started, gate, made, range(101, 200)))
        other.start(single(200), waiting())
        at.start_each(numbered(at, started, gate, made, range(201, 300)))
        await eventually(lambda: len(started) == 300)
        assert started == list(range(300))
        gate.set()


async def test_a_keeper_that_is_full_gets_back_what_is_queued_and_holds_up_nobody_else() -> None:
    async with account() as at, account() as other:
        other.runner = at.runner
        at.most = 5
        started: list[int] = []
        made: list[int] = []
        gate = asyncio.Event()
        others: list[str] = []

        async def single() -> None:
            others.append("single")

        at.start_each(numbered(at, started, gate, made, range(100)))
        at.start_each(numbered(at, started, gate, made, range(100, 200)))
        other.start(single())
        await eventually(lambda: others)
        await turns(20)
        assert len(at.tasks) == 5
        assert started == made == list(range(13))
        gate.set()
        await at.all_ended()
        assert started == list(range(200))


async def test_cancel_stops_making_coroutines() -> None:
    async with account() as at:
        made: list[int] = []

        async def handler(number: int) -> None:
            if number == 3:
                at.runner.cancel(at)

        def works() -> Generator[tuple[Work, Habit], None, None]:
            for number in range(100):
                made.append(number)
                yield handler(number), at.habit

        at.start_each(works())
        await at.all_ended()
        assert made == [0, 1, 2, 3]
