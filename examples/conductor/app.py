"""The conductor's broker: what its window calls, and what it calls in its window.

Electron starts it with `python -m app`; `ionbus serve app:broker` serves the same by hand.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from logging import DEBUG
from pathlib import Path
from typing import Any

from contracts import (
    Answer,
    Cancelled,
    Conductor,
    ExecuteFlow,
    FlowInvalid,
    FlowResult,
    FolderMissing,
    LogLine,
    LogQuery,
    OpenedFlow,
    OpenFlow,
    PickedFolder,
    Pong,
    Question,
    ReportMissing,
    Reveal,
    ShellMissing,
    ShowReport,
    Stumbled,
)
from flow import sample_flow
from ionbus import Broker, Context, Session, SessionLost
from ionbus.middleware import Message, Next, logging
from ionbus.packs.ui import ComponentErrored, Ui
from ionbus.packs.workflow import LogLevel, Workflow
from logbook import LogBook
from make_photos import make_photos
from nodes import StepFailed, find_files
from run import run_flow

MADE = Path(os.environ.get("CONDUCTOR_HOME") or Path(__file__).parent / "build")
"""Where the sample photos and the reports go; never the folder that a flow reads."""

SAMPLE_NAME = "two-weeks-away"
KEPT_REPORTS = 100


@dataclass
class State:
    """What the broker keeps between calls; all of it is gone when its process is."""

    book: LogBook = field(default_factory=LogBook)
    reports: dict[str, Path] = field(default_factory=dict)
    shell: Session | None = None
    is_mended: bool = False


@asynccontextmanager
async def lifespan(_: Broker) -> AsyncIterator[State]:
    state = State()
    state.book.write(f"The broker is up, process {os.getpid()}")
    yield state


current_trace: ContextVar[str | None] = ContextVar("current_trace", default=None)


async def one_trace(message: Message[Any], next: Next) -> Any:
    """A middleware: what a handler asks the window belongs to the trace that the window's call came with."""
    if message.direction == "outbound":
        return await next(message.replace(trace=message.context.trace or current_trace.get()))
    before = current_trace.set(message.context.trace)
    try:
        return await next(message)
    finally:
        current_trace.reset(before)


broker = Broker(Conductor, Workflow, Ui, lifespan=lifespan, metrics=True)
broker.use(logging(level=DEBUG), kind="call")
broker.use(one_trace, kind="call")


@dataclass
class Caller:
    """The window behind a call: what run.py calls a `Window`."""

    ctx: Context[State]

    async def ask(self, question: Question) -> Answer:
        return await self.ctx.call(Conductor.ask, question)


@broker.handle(Conductor.open_flow)
async def open_flow(request: OpenFlow, ctx: Context[State]) -> OpenedFlow:
    folder = Path(request.folder) if request.folder is not None else MADE / SAMPLE_NAME
    try:
        if request.folder is None:
            await asyncio.to_thread(make_photos, folder)
        elif not await asyncio.to_thread(folder.is_dir):
            raise FolderMissing(folder=str(folder), message=f"There is no folder {folder}.")
        files = await asyncio.to_thread(find_files, folder)
    except (OSError, StepFailed) as error:
        raise FolderMissing(folder=str(folder), message=f"{folder} cannot be read: {error}") from error
    ctx.state.book.write(f"Opened {folder.name}")
    return OpenedFlow(
        flow=sample_flow(), folder=str(folder), file_count=len(files), is_sample=request.folder is None
    )


@broker.handle(Conductor.execute)
async def execute(request: ExecuteFlow, ctx: Context[State]) -> FlowResult:
    book = ctx.state.book
    try:
        result = await run_flow(
            request, MADE / "reports" / request.execution_id, broker.emit, Caller(ctx), book
        )
    except FlowInvalid as invalid:
        book.write(str(invalid), LogLevel.ERROR, execution_id=request.execution_id)
        raise
    except (
        asyncio.CancelledError,
        SessionLost,
    ):  # the second: a window went away that had been asked something
        book.write("The run was cancelled", LogLevel.WARNING, execution_id=request.execution_id)
        raise
    _remember(ctx.state.reports, request.execution_id, Path(result.report_path))
    return result


@broker.on(Conductor.cancelled)
async def cancelled(event: Cancelled, ctx: Context[State]) -> None:
    ctx.state.book.write(f"Cancel: {event.reason}", LogLevel.WARNING, execution_id=event.execution_id)


@broker.on(Ui.component.errored)
async def errored(event: ComponentErrored, ctx: Context[State]) -> None:
    ctx.state.book.write(f"The window's {event.name} is broken: {event.message}", LogLevel.ERROR)


@broker.handle(Conductor.logs)
async def logs(query: LogQuery, ctx: Context[State]) -> AsyncIterator[LogLine]:
    async with aclosing(ctx.state.book.read(query.level)) as lines:
        async for line in lines:
            yield line


@broker.handle(Conductor.ping)
async def ping() -> Pong:
    return Pong(pid=os.getpid())


@broker.handle(Conductor.shell.ready)
async def shell_ready(ctx: Context[State]) -> None:
    ctx.state.shell = ctx.session


@broker.handle(Conductor.choose_folder)
async def choose_folder(ctx: Context[State]) -> PickedFolder:
    return await broker.call(_shell(ctx.state), Conductor.shell.pick_folder)


@broker.handle(Conductor.show_report)
async def show_report(request: ShowReport, ctx: Context[State]) -> None:
    path = ctx.state.reports.get(request.execution_id)
    if path is None:
        raise ReportMissing
    await broker.call(_shell(ctx.state), Conductor.shell.reveal, Reveal(path=str(path)))


@broker.on(Conductor.debug.stumbled)
async def stumbled(event: Stumbled, ctx: Context[State]) -> None:
    if not ctx.state.is_mended:
        raise RuntimeError(f"Python stumbled over {event.over}")
    ctx.state.book.write(f"Python got over {event.over}")


@broker.handle(Conductor.debug.mend)
async def mend(ctx: Context[State]) -> None:
    ctx.state.is_mended = True


@broker.handle(Conductor.debug.block)
async def block() -> None:
    time.sleep(0.4)  # noqa: ASYNC251 - which is what is wrong with it, and what `health` has to find


@broker.handle(Conductor.debug.kill)
def kill() -> None:
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has only the second: as deadly


def _shell(state: State) -> Session:
    if state.shell is None:
        raise ShellMissing
    return state.shell


def _remember(reports: dict[str, Path], execution_id: str, path: Path) -> None:
    reports[execution_id] = path
    while len(reports) > KEPT_REPORTS:
        del reports[next(iter(reports))]


if __name__ == "__main__":
    broker.run()
