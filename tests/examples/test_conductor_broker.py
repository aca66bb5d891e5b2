"""The conductor from end to end, in memory: a Python client stands in for the window."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import app
from contracts import (
    Answer,
    Cancelled,
    Conductor,
    ExecuteFlow,
    FlowInvalid,
    FolderMissing,
    LogLine,
    LogQuery,
    NodeFailed,
    OpenFlow,
    PickedFolder,
    Question,
    ReportMissing,
    Reveal,
    ShellMissing,
    ShowReport,
    Stumbled,
)
from flow import sample_flow
from ionbus import Bus, InvalidPayload, IonbusError, connect
from ionbus.packs.workflow import (
    FlowFinished,
    LogLevel,
    NodeOutput,
    NodeProgress,
    NodeState,
    Workflow,
)


@pytest.fixture(autouse=True)
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the broker puts what it makes."""
    monkeypatch.setattr(app, "MADE", tmp_path / "made")
    return tmp_path / "made"


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with connect(app.broker) as bus:
        yield bus


async def execution(bus: Bus, folder: Path | None = None) -> ExecuteFlow:
    opened = await bus.call(Conductor.open_flow, OpenFlow(folder=str(folder) if folder else None))
    return ExecuteFlow(execution_id="exec_1", flow=opened.flow, folder=opened.folder)


async def keep_first(question: Question) -> Answer:
    return Answer(keep=question.images[:1], title="A day out")


async def test_a_run_asks_the_window_and_comes_back_with_a_report(bus: Bus, folder: Path, made: Path) -> None:
    told: list[NodeProgress] = []
    thumbnails: list[NodeOutput] = []
    finished: list[FlowFinished] = []
    bus.on(Workflow.node.progress, told.append)
    bus.on(Workflow.node.output, thumbnails.append)
    bus.on(Workflow.finished, finished.append)
    bus.handle(Conductor.ask)(keep_first)

    result = await bus.call(Conductor.execute, await execution(bus, folder))

    assert result.kept == ["a.jpg"]
    assert result.report_path == str(made / "reports" / "exec_1" / "report.html")
    assert {progress.node_id: progress.state for progress in told} == {
        node.id: NodeState.FINISHED for node in sample_flow().nodes
    }
    assert [thumbnail.content[:2] for thumbnail in thumbnails] == [b"\xff\xd8", b"\xff\xd8"]
    assert [(event.execution_id, event.summary) for event in finished] == [("exec_1", "“A day out”: 5 files")]


async def test_without_a_folder_there_are_sample_photos(bus: Bus, made: Path) -> None:
    opened = await bus.call(Conductor.open_flow, OpenFlow())
    assert opened.is_sample
    assert opened.file_count > 10
    assert Path(opened.folder).is_relative_to(made)


async def test_a_folder_that_is_not_there_is_a_typed_error(bus: Bus, tmp_path: Path) -> None:
    with pytest.raises(FolderMissing) as raised:
        await bus.call(Conductor.open_flow, OpenFlow(folder=str(tmp_path / "gone")))
    assert raised.value.folder == str(tmp_path / "gone")


async def test_an_invalid_flow_comes_back_with_its_nodes(bus: Bus, folder: Path) -> None:
    request = await execution(bus, folder)
    request.flow.edges = [edge for edge in request.flow.edges if edge.target != "words"]
    with pytest.raises(FlowInvalid) as raised:
        await bus.call(Conductor.execute, request)
    assert raised.value.node_ids == ["words"]
    assert [problem.message for problem in raised.value.problems] == [
        "Nothing is connected to its input “files”."
    ]


async def test_a_failed_node_comes_back_by_name(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NodeFailed) as raised:
        await bus.call(Conductor.execute, await execution(bus, tmp_path / "empty"))
    assert raised.value.node_id == "list"


async def test_an_execution_id_cannot_leave_the_reports_folder(bus: Bus, folder: Path) -> None:
    request = await execution(bus, folder)
    with pytest.raises(InvalidPayload):
        await bus.call(Conductor.execute, request.model_copy(update={"execution_id": "../../etc"}))


async def test_a_cancelled_run_stops_and_says_so(bus: Bus, folder: Path) -> None:
    asked, stopped = asyncio.Event(), asyncio.Event()
    last: dict[str, NodeState] = {}

    def note(progress: NodeProgress) -> None:
        last[progress.node_id] = progress.state
        if last.get("choose") == last.get("report") == NodeState.CANCELLED:
            stopped.set()

    @bus.handle(Conductor.ask)
    async def never_answer(question: Question) -> Answer:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError(question)

    bus.on(Workflow.node.progress, note)
    run = asyncio.create_task(bus.call(Conductor.execute, await execution(bus, folder)))
    await asked.wait()
    await bus.emit(Conductor.cancelled, Cancelled(execution_id="exec_1", reason="second thoughts"))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await stopped.wait()
    assert (last["thumbs"], last["choose"], last["report"]) == (
        NodeState.FINISHED,
        NodeState.CANCELLED,
        NodeState.CANCELLED,
    )
    messages = [line.message async for line in until(bus, "The run was cancelled")]
    assert "Cancel: second thoughts" in messages


async def test_a_window_that_is_closed_cancels_its_run(bus: Bus, folder: Path) -> None:
    asked = asyncio.Event()
    async with connect(app.broker) as window:

        @window.handle(Conductor.ask)
        async def never_answer(question: Question) -> Answer:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError(question)

        run = asyncio.create_task(window.call(Conductor.execute, await execution(window, folder)))
        await asked.wait()
    with pytest.raises(IonbusError):
        await run
    assert [line.level async for line in until(bus, "The run was cancelled", LogLevel.WARNING)][-1:] == [
        LogLevel.WARNING
    ]


async def until(bus: Bus, message: str, level: LogLevel = LogLevel.INFO) -> AsyncIterator[LogLine]:
    """The log up to the line that starts with `message`."""
    async with bus.stream(Conductor.logs, LogQuery(level=level)) as lines:
        async for line in lines:
            yield line
            if line.message.startswith(message):
                return


async def test_the_log_streams_what_was_and_what_comes(bus: Bus, folder: Path) -> None:
    await execution(bus, folder)
    read = asyncio.create_task(collect(until(bus, "“A day out” is done")))
    bus.handle(Conductor.ask)(keep_first)
    await bus.call(Conductor.execute, await execution(bus, folder))
    lines = await read
    assert lines[0].message.startswith("The broker is up")
    assert {line.node_id for line in lines} >= {"hash", "words", "duplicates", "choose", "report"}


async def test_the_log_can_be_narrowed_to_what_matters(bus: Bus, folder: Path) -> None:
    bus.handle(Conductor.ask)(keep_first)
    await bus.call(Conductor.execute, await execution(bus, folder))
    (line,) = await collect(until(bus, "Same bytes", LogLevel.WARNING))
    assert line.node_id == "duplicates"


async def collect(lines: AsyncIterator[LogLine]) -> list[LogLine]:
    return [line async for line in lines]


async def test_a_ping_names_the_process(bus: Bus) -> None:
    assert (await bus.call(Conductor.ping)).pid > 0


async def test_without_electron_there_is_no_dialog(bus: Bus) -> None:
    with pytest.raises(ShellMissing):
        await bus.call(Conductor.choose_folder)


async def test_native_dialogs_are_asked_of_electron(bus: Bus, folder: Path) -> None:
    revealed: list[str] = []
    async with connect(app.broker) as electron:

        @electron.handle(Conductor.shell.pick_folder)
        async def pick_folder() -> PickedFolder:
            return PickedFolder(folder=str(folder))

        @electron.handle(Conductor.shell.reveal)
        async def reveal(request: Reveal) -> None:
            revealed.append(request.path)

        await electron.call(Conductor.shell.ready)

        assert await bus.call(Conductor.choose_folder) == PickedFolder(folder=str(folder))
        with pytest.raises(ReportMissing):
            await bus.call(Conductor.show_report, ShowReport(execution_id="exec_1"))
        bus.handle(Conductor.ask)(keep_first)
        result = await bus.call(Conductor.execute, await execution(bus, folder))
        await bus.call(Conductor.show_report, ShowReport(execution_id="exec_1"))
        assert revealed == [result.report_path]


async def test_what_python_stumbles_over_is_a_dead_letter_until_it_is_mended(bus: Bus) -> None:
    await bus.emit(Conductor.debug.stumbled, Stumbled(over="a step"))
    await bus.call(Conductor.ping)  # what was emitted before a call has been heard
    (letter,) = app.broker.dead_letters
    assert (letter.name, letter.reason) == ("conductor.debug.stumbled", "failed")
    await bus.call(Conductor.debug.mend)
    await app.broker.dead_letters.resend(letter)
    assert list(app.broker.dead_letters) == []
    assert (await collect(until(bus, "Python got over")))[-1].message == "Python got over a step"


async def test_a_blocked_loop_is_told_with_its_line(bus: Bus) -> None:
    await bus.call(Conductor.debug.block)
    assert "block() at" in app.broker.health().summary
