"""One run of a flow: every node starts as soon as its inputs are there, beside the others."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, NoReturn, Protocol

from contracts import (
    Answer,
    ExecuteFlow,
    FlowResult,
    LogLevel,
    Node,
    NodeFailed,
    NodeProgress,
    NodeState,
    Question,
    Thumbnail,
)
from flow import inputs_of, run_order
from logbook import LogBook
from nodes import NODE_FUNCTIONS, StepFailed, Thumb, Written, count_of


class Window(Protocol):
    """Who started the run: it is told how the run goes, and it is asked."""

    async def progress(self, progress: NodeProgress) -> None: ...

    async def thumbnail(self, thumbnail: Thumbnail) -> None: ...

    async def ask(self, question: Question) -> Answer: ...


@dataclass
class RunningNode:
    """One node of a run: what nodes.py calls a `Step`."""

    request: ExecuteFlow
    node: Node
    window: Window
    book: LogBook
    folder: Path
    output: Path
    stop: Event
    state: NodeState = NodeState.WAITING
    percent: float = 0.0
    message: str | None = None

    async def run(self, sources: Mapping[str, asyncio.Task[Any]]) -> Any:
        """Wait for the inputs, then do what the node's kind does, and give its output.

        Raises:
            NodeFailed: it could not.
        """
        inputs = {name: await source for name, source in sources.items()}
        await self.tell(NodeState.RUNNING)
        try:
            output = await NODE_FUNCTIONS[self.node.kind](self, inputs)
        except StepFailed as failed:
            await self._fail(str(failed))
        except OSError as error:
            await self._fail(str(error))
        self.percent = 100.0
        await self.tell(NodeState.DONE, self.message)
        return output

    async def tell(self, state: NodeState, message: str | None = None) -> None:
        """Tell the window how it stands with this node."""
        self.state, self.message = state, message
        await self.window.progress(
            NodeProgress(
                execution_id=self.request.execution_id,
                node_id=self.node.id,
                state=state,
                percent=self.percent,
                message=message,
            )
        )

    async def progress(self, done: int, total: int, message: str) -> None:
        self.percent = 100 * done / total
        await self.tell(NodeState.RUNNING, message)
        await asyncio.sleep(self.request.pace_ms / 1000)

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        self.book.write(message, level, execution_id=self.request.execution_id, node_id=self.node.id)

    async def thumbnail(self, made: Thumb) -> None:
        await self.window.thumbnail(
            Thumbnail(
                execution_id=self.request.execution_id,
                node_id=self.node.id,
                file=made.file,
                width=made.width,
                height=made.height,
                jpeg=made.jpeg,
            )
        )

    async def ask(self, prompt: str, images: list[str], suggested_title: str) -> Answer:
        await self.tell(NodeState.ASKING, "Waiting for your answer")
        answer = await self.window.ask(
            Question(
                execution_id=self.request.execution_id,
                node_id=self.node.id,
                prompt=prompt,
                images=images,
                suggested_title=suggested_title,
            )
        )
        await self.tell(NodeState.RUNNING)
        return answer

    async def _fail(self, reason: str) -> NoReturn:
        await self.log(reason, LogLevel.ERROR)
        await self.tell(NodeState.FAILED, reason)
        raise NodeFailed(node_id=self.node.id, reason=reason, message=f"{self.node.title}: {reason}")


async def run_flow(request: ExecuteFlow, output: Path, window: Window, book: LogBook) -> FlowResult:
    """Run a flow from its first node to its last, the independent ones side by side.

    When it is cancelled or a node fails, the nodes that are not done yet are told to the window as cancelled.

    Args:
        request: which flow, over which folder.
        output: the folder for what the run makes; it is made when it is needed.
        window: who is told and asked.
        book: where the log goes.

    Raises:
        FlowInvalid: the flow cannot run; nothing was started.
        NodeFailed: the first node that failed.
    """
    order = run_order(request.flow)
    started_at, start = datetime.now(UTC), time.monotonic()
    stop = Event()
    running = [
        RunningNode(request, node, window, book, folder=Path(request.folder), output=output, stop=stop)
        for node in order
    ]
    for one in running:
        await one.tell(NodeState.WAITING)

    tasks: dict[str, asyncio.Task[Any]] = {}
    try:
        async with asyncio.TaskGroup() as group:
            for one in running:
                sources = inputs_of(request.flow, one.node.id)
                tasks[one.node.id] = group.create_task(
                    one.run({name: tasks[source] for name, source in sources.items()})
                )
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures
    finally:
        stop.set()
        for one in running:
            if one.state not in (NodeState.DONE, NodeState.FAILED):
                await one.tell(NodeState.CANCELLED)

    (written,) = (done for done in (task.result() for task in tasks.values()) if isinstance(done, Written))
    result = FlowResult(
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
    book.write(
        f"“{result.title}” is done: {count_of(len(result.files), 'file')} in {result.duration_ms / 1000:.1f} s",
        execution_id=request.execution_id,
    )
    return result


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure to report: a node's own before any other."""
    declared, _ = failures.split(NodeFailed)
    first: BaseException = declared or failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
