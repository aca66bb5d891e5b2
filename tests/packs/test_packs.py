"""The contracts that ship with ionbus: what both sides and the schema say is the same, and every event arrives as it was sent."""

import asyncio
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ionbus import Broker, Contract, connect
from ionbus.packs.ui import (
    ComponentErrored,
    ComponentHidden,
    ComponentMounted,
    ComponentShown,
    ComponentUnmounted,
    ComponentUpdated,
    Ui,
    WindowFocus,
    WindowVisibility,
)
from ionbus.packs.workflow import (
    FlowCancelled,
    FlowFailed,
    FlowFinished,
    FlowQueued,
    FlowStarted,
    FlowState,
    FlowStatus,
    LogLevel,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeLog,
    NodeOutline,
    NodeOutput,
    NodeProgress,
    NodeStarted,
    NodeState,
    Workflow,
)

ROOT = Path(__file__).parents[2]
AT = datetime(2026, 11, 24, 17, 30, 5, 250_000, tzinfo=UTC)
RUN = {"at": AT, "execution_id": "e1"}
NODE = {**RUN, "node_id": "hash"}
CAUSED = {"id": "b", "cause": "a"}
COMPONENT = {"at": AT, "window_id": "w1", "component_id": "c1", "name": "graph"}

FROM_BROKER: list[tuple[Any, BaseModel]] = [
    (
        Workflow.queued,
        FlowQueued(
            **RUN,
            id="a",
            flow_id="photos",
            name="Photo report",
            requested_by="ada",
            nodes=[NodeOutline(id="hash", title="Hash files", kind="files.hash", after=["list"])],
        ),
    ),
    (Workflow.started, FlowStarted(**RUN, **CAUSED)),
    (
        Workflow.status,
        FlowStatus(**RUN, flow_id="photos", name="Photo report", state=FlowState.RUNNING, percent=12.5),
    ),
    (Workflow.finished, FlowFinished(**RUN, **CAUSED, duration_ms=1.5, summary="12 files")),
    (Workflow.failed, FlowFailed(**RUN, **CAUSED, duration_ms=0, reason="no", code="c", node_id="hash")),
    (Workflow.cancelled, FlowCancelled(**RUN, **CAUSED, duration_ms=0, reason="enough", requested_by="ada")),
    (Workflow.node.started, NodeStarted(**NODE, **CAUSED, attempt=2)),
    (Workflow.node.progress, NodeProgress(**NODE, state=NodeState.WAITING, percent=40, message="…")),
    (Workflow.node.log, NodeLog(**NODE, level=LogLevel.WARNING, message="été", fields={"path": "a.txt"})),
    (
        Workflow.node.output,
        NodeOutput(
            **NODE,
            **CAUSED,
            name="a.jpg",
            media_type="image/jpeg",
            content=b"\xff\xd8\x00",
            details={"width": "64"},
        ),
    ),
    (Workflow.node.finished, NodeFinished(**NODE, **CAUSED, duration_ms=3, message="4 files")),
    (Workflow.node.failed, NodeFailed(**NODE, **CAUSED, duration_ms=3, reason="no", will_retry=True)),
    (Workflow.node.cancelled, NodeCancelled(**NODE, **CAUSED)),
]
FROM_CLIENT: list[tuple[Any, BaseModel]] = [
    (Ui.component.mounted, ComponentMounted(**COMPONENT, parent_id="c0")),
    (Ui.component.shown, ComponentShown(**COMPONENT)),
    (Ui.component.hidden, ComponentHidden(**COMPONENT, visible_ms=12.5)),
    (Ui.component.updated, ComponentUpdated(**COMPONENT, updates=3)),
    (Ui.component.unmounted, ComponentUnmounted(**COMPONENT, mounted_ms=99)),
    (Ui.component.errored, ComponentErrored(**COMPONENT, message="boom", stack="in Graph")),
    (Ui.window.focus, WindowFocus(at=AT, window_id="w1", is_focused=True)),
    (Ui.window.visibility, WindowVisibility(at=AT, window_id="w1", is_visible=False)),
]


def test_what_is_checked_in_is_what_the_schemas_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "packs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("contract", "name"), [(Workflow, "workflow"), (Ui, "ui")])
def test_both_sides_have_one_fingerprint(contract: type[Contract], name: str) -> None:
    for file in (ROOT / "js-shim/src/packs/generated").glob(f"{name}.*members.ts"):
        (told,) = re.findall(r'fingerprint: "(\w+)"', file.read_text())
        assert told == contract.__contract__.fingerprint, file.name


def test_every_event_has_a_sample_here() -> None:
    sampled = {event.name for event, _ in [*FROM_BROKER, *FROM_CLIENT]}
    members = [*Workflow.__contract__.members.values(), *Ui.__contract__.members.values()]
    assert sampled == {member.name for member in members}


async def test_what_the_broker_says_arrives_as_it_was_sent() -> None:
    broker = Broker(Workflow)
    async with (
        broker.serve("ws://127.0.0.1:0") as (endpoint,),
        connect(endpoint.url, token=endpoint.token) as bus,
    ):
        for event, payload in FROM_BROKER:
            async with bus.events(event) as events:
                await broker.emit(event, payload)
                assert await anext(events) == payload


async def test_what_a_client_says_arrives_at_the_broker_and_at_other_clients() -> None:
    broker = Broker(Ui)
    heard: asyncio.Queue[Any] = asyncio.Queue()
    for event, _ in FROM_CLIENT:
        broker.on(event)(heard.put_nowait)
    async with (
        broker.serve("ws://127.0.0.1:0") as (endpoint,),
        connect(endpoint.url, token=endpoint.token) as teller,
        connect(endpoint.url, token=endpoint.token) as other,
    ):
        for event, payload in FROM_CLIENT:
            async with other.events(event) as told:
                await teller.emit(event, payload)
                assert await anext(told) == payload
                assert await heard.get() == payload
