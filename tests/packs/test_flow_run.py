"""A run publishes its life: in order, with times, and each event naming the one that brought it about."""

import asyncio
from typing import Any

import pytest

from ionbus import ContractError
from ionbus.packs.workflow import FlowRun, FlowState, NodeOutline, NodeState

OUTLINE = [
    NodeOutline(id="list", title="List folder", kind="files.list"),
    NodeOutline(id="hash", title="Hash files", kind="files.hash", after=["list"]),
]


class Broken(ContractError):
    """It is broken."""

    code = "broken"


class Told:
    """What was published, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def emit(self, event: Any, payload: Any) -> None:
        self.events.append((event.name.removeprefix("workflow."), payload))

    @property
    def names(self) -> list[str]:
        """Without what is only the newest of something."""
        return [name for name, _ in self.events if name not in ("status", "node.progress")]

    def of(self, name: str) -> list[Any]:
        return [payload for told, payload in self.events if told == name]

    def run(self, **options: Any) -> FlowRun:
        return FlowRun(
            self.emit, execution_id="e1", flow_id="photos", name="Photos", nodes=OUTLINE, **options
        )


@pytest.fixture
def told() -> Told:
    return Told()


async def test_a_run_that_finishes(told: Told) -> None:
    run = told.run(requested_by="ada", cause="click")
    async with run:
        async with run.node("list") as node:
            await node.progress(50, "half")
            await node.log("found 2 files", path="a")
            await node.output("a.txt", "text/plain", b"abc", {"lines": "1"})
        async with run.node("hash"):
            pass
        run.summary = "2 files"
    assert told.names == [
        "queued",
        "started",
        "node.started",
        "node.log",
        "node.output",
        "node.finished",
        "node.started",
        "node.finished",
        "finished",
    ]
    assert [status.state for status in told.of("status")] == [
        FlowState.QUEUED,
        FlowState.RUNNING,
        FlowState.RUNNING,
        FlowState.RUNNING,
        FlowState.FINISHED,
    ]
    assert [status.percent for status in told.of("status")] == [0, 0, 50, 100, 100]
    assert [(each.node_id, each.state, each.percent) for each in told.of("node.progress")] == [
        ("list", NodeState.PENDING, 0),
        ("hash", NodeState.PENDING, 0),
        ("list", NodeState.RUNNING, 0),
        ("list", NodeState.RUNNING, 50),
        ("list", NodeState.FINISHED, 100),
        ("hash", NodeState.RUNNING, 0),
        ("hash", NodeState.FINISHED, 100),
    ]
    assert told.of("queued")[0].requested_by == "ada"
    assert told.of("finished")[0].summary == "2 files"


async def test_each_event_names_its_cause(told: Told) -> None:
    async with told.run(cause="click") as run:
        async with run.node("list") as node:
            await node.output("a", "text/plain")
        async with run.node("hash"):
            pass
    (queued,), (started,), (finished,) = told.of("queued"), told.of("started"), told.of("finished")
    list_started, hash_started = told.of("node.started")
    list_finished, _ = told.of("node.finished")
    assert queued.cause == "click"
    assert started.cause == queued.id
    assert list_started.cause == started.id
    assert told.of("node.output")[0].cause == list_started.id
    assert list_finished.cause == list_started.id
    assert hash_started.cause == list_finished.id  # it takes what that one gives
    assert finished.cause == started.id
    ids = [payload.id for _, payload in told.events if hasattr(payload, "id")]
    assert len(set(ids)) == len(ids)
    times = [payload.at for _, payload in told.events]
    assert times == sorted(times)


async def test_a_run_that_fails_names_the_node_and_cancels_the_others(told: Told) -> None:
    run = told.run()

    async def fail() -> None:
        async with run.node("list"):
            raise Broken

    async def go() -> None:
        async with run, asyncio.TaskGroup() as group:
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        await go()
    (node_failed,), (failed,) = told.of("node.failed"), told.of("failed")
    assert (node_failed.reason, node_failed.code, node_failed.will_retry) == (
        "It is broken.",
        "broken",
        False,
    )
    assert (failed.reason, failed.code, failed.node_id, failed.cause) == (
        "It is broken.",
        "broken",
        "list",
        node_failed.id,
    )
    (cancelled,) = told.of("node.cancelled")
    assert (cancelled.node_id, cancelled.cause) == ("hash", node_failed.id)
    assert told.of("status")[-1].state is FlowState.FAILED


async def test_a_run_that_is_given_up(told: Told) -> None:
    run = told.run()

    async def go() -> None:
        async with run, run.node("list"):
            run.cancel_reason, run.cancelled_by = "enough", "ada"
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await go()
    assert [each.node_id for each in told.of("node.cancelled")] == ["list", "hash"]
    (cancelled,) = told.of("cancelled")
    assert (cancelled.reason, cancelled.requested_by) == ("enough", "ada")
    assert told.names[-1] == "cancelled"
    assert told.of("status")[-1].state is FlowState.CANCELLED


async def test_a_node_that_is_tried_again(told: Told) -> None:
    async with told.run() as run:
        node = run.node("list")
        try:
            async with node.attempt():
                raise OSError("busy")
        except OSError:
            pass
        async with node:
            pass
        async with run.node("hash"):
            pass
    first, second = told.of("node.started")[:2]
    (failed,) = told.of("node.failed")
    assert (first.attempt, second.attempt) == (1, 2)
    assert (failed.will_retry, failed.code, failed.cause) == (True, None, first.id)
    assert second.cause == failed.id
    assert told.names[-1] == "finished"


async def test_a_node_that_waits_and_one_that_nobody_foresaw(told: Told) -> None:
    async with told.run() as run, run.node("surprise") as node:
        await node.wait("for your answer")
        await node.resume()
    states = [each.state for each in told.of("node.progress") if each.node_id == "surprise"]
    assert states == [NodeState.RUNNING, NodeState.WAITING, NodeState.RUNNING, NodeState.FINISHED]


async def test_a_run_may_wait_for_its_turn(told: Told) -> None:
    run = told.run()
    await run.queue()
    assert told.names == ["queued"]
    async with run:
        pass
    assert told.names == ["queued", "started", "node.cancelled", "node.cancelled", "finished"]
