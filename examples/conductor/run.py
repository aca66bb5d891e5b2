"""One run of a flow: every node starts as soon as its inputs are there, beside the others."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from contracts import Answer, ExecuteFlow, Flow, FlowResult, Node, NodeFailed, Question
from flow import inputs_of, run_order
from ionbus.packs.workflow import Emit, FlowRun, LogLevel, NodeOutline, NodeRun
from logbook import LogBook
from nodes import NODE_FUNCTIONS, StepFailed, Thumb, Written, count_of


class Window(Protocol):
    """Who started the run, and is asked what its nodes want to know."""

    async def ask(self, question: Question) -> Answer: ...


@dataclass
class RunningNode:
    """One node of a run: what nodes.py calls a `Step`. Its `life` tells who listens how it goes."""

    request: ExecuteFlow
    node: Node
    life: NodeRun
    window: Window
    book: LogBook
    folder: Path
    output: Path
    stop: Event

    async def run(self, sources: Mapping[str, asyncio.Task[Any]]) -> Any:
        """Wait for the inputs, then do what the node's kind does, and give its output.

        Raises:
            NodeFailed: it could not.
        """
        inputs = {name: await source for name, source in sources.items()}
        async with self.life:
            try:
                return await NODE_FUNCTIONS[self.node.kind](self, inputs)
            except (StepFailed, OSError) as failed:
                reason = str(failed)
                await self.log(reason, LogLevel.ERROR)
                message = f"{self.node.title}: {reason}"
                raise NodeFailed(node_id=self.node.id, reason=reason, message=message) from failed

    async def progress(self, done: int, total: int, message: str) -> None:
        await self.life.progress(100 * done / total, message)
        await asyncio.sleep(self.request.pace_ms / 1000)

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        self.book.write(message, level, execution_id=self.request.execution_id, node_id=self.node.id)
        await self.life.log(message, level)

    async def thumbnail(self, made: Thumb) -> None:
        size = {"width": str(made.width), "height": str(made.height)}
        await self.life.output(made.file, "image/jpeg", made.jpeg, size)

    async def ask(self, prompt: str, images: list[str], suggested_title: str) -> Answer:
        await self.life.wait("Waiting for your answer")
        answer = await self.window.ask(
            Question(
                execution_id=self.request.execution_id,
                node_id=self.node.id,
                prompt=prompt,
                images=images,
                suggested_title=suggested_title,
            )
        )
        await self.life.resume()
        return answer


async def run_flow(
    request: ExecuteFlow, output: Path, emit: Emit, window: Window, book: LogBook
) -> FlowResult:
    """Run a flow from its first node to its last, the independent ones side by side, and tell its life as `workflow` has it.

    Args:
        request: which flow, over which folder.
        output: the folder for what the run makes; it is made when it is needed.
        emit: publishes what there is to tell.
        window: who is asked.
        book: where the log goes.

    Raises:
        FlowInvalid: the flow cannot run; nothing was started.
        NodeFailed: the first node that failed.
    """
    order = run_order(request.flow)
    started_at, start = datetime.now(UTC), time.monotonic()
    stop = Event()
    life = FlowRun(
        emit,
        execution_id=request.execution_id,
        flow_id=request.flow.id,
        name=request.flow.name,
        nodes=outline_of(request.flow, order),
    )
    running = [
        RunningNode(
            request,
            node,
            life.node(node.id),
            window,
            book,
            folder=Path(request.folder),
            output=output,
            stop=stop,
        )
        for node in order
    ]
    tasks: dict[str, asyncio.Task[Any]] = {}
    try:
        async with life:
            async with asyncio.TaskGroup() as group:
                for one in running:
                    sources = inputs_of(request.flow, one.node.id)
                    tasks[one.node.id] = group.create_task(
                        one.run({name: tasks[source] for name, source in sources.items()})
                    )
            result = _result(request, [task.result() for task in tasks.values()], started_at, start)
            life.summary = f"“{result.title}”: {count_of(len(result.files), 'file')}"
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures
    finally:
        stop.set()
    book.write(
        f"“{result.title}” is done: {count_of(len(result.files), 'file')} in {result.duration_ms / 1000:.1f} s",
        execution_id=request.execution_id,
    )
    return result


def outline_of(flow: Flow, order: Sequence[Node]) -> list[NodeOutline]:
    """The flow as whoever watches its run is told of it."""
    return [
        NodeOutline(
            id=node.id, title=node.title, kind=node.kind, after=sorted(inputs_of(flow, node.id).values())
        )
        for node in order
    ]


def _result(request: ExecuteFlow, outputs: list[Any], started_at: datetime, start: float) -> FlowResult:
    (written,) = (output for output in outputs if isinstance(output, Written))
    return FlowResult(
        execution_id=request.execution_id,
        title=written.content.title,
        report_path=str(written.path),
        started_at=started_at,
        duration_ms=(time.monotonic() - start) * 1000,
        files=written.content.files,
        duplicates=written.content.duplicates,
        kept=[picture.file for picture in written.content.pictures],
        word_count=written.content.word_count,
    )


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure to report: a node's own before any other."""
    declared, _ = failures.split(NodeFailed)
    first: BaseException = declared or failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
