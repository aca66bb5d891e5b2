"""Publishes the life of one run as the contract `workflow` has it: in order, with ids, times and causes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from ionbus.errors import IonbusError
from ionbus.packs.generated.workflow import (
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

__all__ = ["Emit", "FlowRun", "NodeRun"]

Emit = Callable[[Any, Any], Awaitable[None]]
"""`broker.emit` tells every session that subscribed, `ctx.emit` the caller's alone. The event's payload is of the event's type."""


class FlowRun:
    """One run of a flow. `async with run:` starts it, and tells in the end whether it finished, failed or was cancelled.

    What the body raises is what became of the run: `CancelledError` that it was given up, anything else that it failed. It
    is raised on. Nodes that have not ended by then are told as cancelled.

    ```python
    async with FlowRun(broker.emit, execution_id="e1", flow_id="photos", name="Photo report", nodes=outline) as run:
        async with run.node("hash") as node:
            await node.progress(40, "4 of 10 files")
    ```

    Args:
        emit: publishes one event.
        execution_id: the run's, one for each.
        flow_id: what is run.
        name: the flow's, for people.
        nodes: its nodes, as far as they are known beforehand.
        requested_by: who wants the run.
        cause: the id of the event that brings it about, where there is one.
    """

    def __init__(
        self,
        emit: Emit,
        *,
        execution_id: str,
        flow_id: str,
        name: str,
        nodes: Sequence[NodeOutline] = (),
        requested_by: str | None = None,
        cause: str | None = None,
    ) -> None:
        self.execution_id = execution_id
        self.summary: str | None = None
        """What it has made, for people; told when it finishes."""
        self.cancel_reason: str | None = None
        """Why it is given up; told when it is cancelled."""
        self.cancelled_by: str | None = None
        """Who gives it up."""
        self._emit = emit
        self._flow = (flow_id, name)
        self._outline = list(nodes)
        self._requested_by = requested_by
        self._last_cause = cause
        self._started_at: float | None = None
        self._state: FlowState | None = None
        self._nodes: dict[str, NodeRun] = {node.id: NodeRun(self, node.id, node.after) for node in nodes}
        self._failed: NodeRun | None = None

    @property
    def duration_ms(self) -> float:
        """Since it was started; 0 if it never was."""
        return 0.0 if self._started_at is None else (time.monotonic() - self._started_at) * 1000

    def node(self, node_id: str) -> NodeRun:
        """Give one of its nodes; one that was not known beforehand comes into being. `async with` runs it."""
        return self._nodes.setdefault(node_id, NodeRun(self, node_id, ()))

    async def queue(self) -> None:
        """Tell that the run was accepted, and every node of it as pending. Starting does it where nobody has."""
        flow_id, name = self._flow
        await self._tell(
            Workflow.queued,
            FlowQueued,
            flow_id=flow_id,
            name=name,
            requested_by=self._requested_by,
            nodes=self._outline,
        )
        await self._tell_state(FlowState.QUEUED)
        for node in self._nodes.values():
            await node.tell_state(NodeState.PENDING)

    async def __aenter__(self) -> Self:
        if self._state is None:
            await self.queue()
        self._started_at = time.monotonic()
        await self._tell(Workflow.started, FlowStarted)
        await self._tell_state(FlowState.RUNNING)
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        cause = self._last_cause if self._failed is None else self._failed.last_cause
        for node in self._nodes.values():
            if not node.has_ended:
                await node.cancel(cause, self.cancel_reason)
        if error is None:
            await self._tell(
                Workflow.finished, FlowFinished, duration_ms=self.duration_ms, summary=self.summary
            )
            await self._tell_state(FlowState.FINISHED, self.summary)
        elif isinstance(error, asyncio.CancelledError):
            await self._tell(
                Workflow.cancelled,
                FlowCancelled,
                duration_ms=self.duration_ms,
                reason=self.cancel_reason,
                requested_by=self.cancelled_by,
            )
            await self._tell_state(FlowState.CANCELLED, self.cancel_reason)
        else:
            self._last_cause = cause
            node_id = None if self._failed is None else self._failed.node_id
            first = first_failure(error)
            told: dict[str, Any] = {"reason": reason_of(first), "code": code_of(first), "node_id": node_id}
            await self._tell(Workflow.failed, FlowFailed, duration_ms=self.duration_ms, **told)
            await self._tell_state(FlowState.FAILED, told["reason"])

    async def _tell(self, event: Any, payload: type[Any], **fields: Any) -> None:
        """Publish one event of the run's own, which is the cause of the next."""
        told_id = new_id()
        cause, self._last_cause = self._last_cause, told_id
        told = payload(id=told_id, at=now(), cause=cause, execution_id=self.execution_id, **fields)
        await self._emit(event, told)

    async def _tell_state(self, state: FlowState, message: str | None = None) -> None:
        self._state = state
        flow_id, name = self._flow
        done = sum(node.state is NodeState.FINISHED for node in self._nodes.values())
        percent = 100.0 if state is FlowState.FINISHED else 100.0 * done / max(1, len(self._nodes))
        await self._emit(
            Workflow.status,
            FlowStatus(
                at=now(),
                execution_id=self.execution_id,
                flow_id=flow_id,
                name=name,
                state=state,
                percent=percent,
                message=message,
            ),
        )

    # --- What its nodes tell ----------------------------------------------------------------------

    async def publish(self, event: Any, payload: Any) -> None:
        """Publish what a node has to tell."""
        await self._emit(event, payload)

    def cause_of(self, after: Sequence[str]) -> str | None:
        """What sets a node off: the last of its inputs that has ended, else the run's start."""
        ended = [node for name in after if (node := self._nodes.get(name)) is not None and node.ended_at]
        return max(ended, key=lambda node: node.ended_at).last_cause if ended else self._last_cause

    async def node_ended(self, node: NodeRun) -> None:
        """A node has ended: how far the run has come is told anew."""
        if node.state is NodeState.FAILED and self._failed is None:
            self._failed = node
        if self._state is FlowState.RUNNING:
            await self._tell_state(FlowState.RUNNING)


class NodeRun:
    """One node of a run. `async with node:` starts it, and tells in the end whether it finished, failed or was cancelled."""

    def __init__(self, run: FlowRun, node_id: str, after: Sequence[str]) -> None:
        self.node_id = node_id
        self.state = NodeState.PENDING
        self.message: str | None = None
        """What there is to say of it, for people: what `progress` said last."""
        self.last_cause: str | None = None
        self.ended_at = 0.0
        self._run = run
        self._after = after
        self._percent = 0.0
        self._attempt = 0
        self._started_at: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it has finished, failed or been cancelled."""
        return self.state in (NodeState.FINISHED, NodeState.FAILED, NodeState.CANCELLED)

    @property
    def duration_ms(self) -> float:
        """Since it was started; 0 if it never was."""
        return 0.0 if self._started_at is None else (time.monotonic() - self._started_at) * 1000

    async def progress(self, percent: float, message: str | None = None) -> None:
        """Tell how far it has come. Only the newest of it reaches who is behind.

        Args:
            percent: 0 to 100.
            message: for people.
        """
        self._percent = percent
        await self.tell_state(NodeState.RUNNING, message)

    async def wait(self, message: str | None = None) -> None:
        """Tell that it waits for something outside the run, a person for one; the next `progress` ends it."""
        await self.tell_state(NodeState.WAITING, message)

    async def resume(self, message: str | None = None) -> None:
        """Tell that it no longer waits."""
        await self.tell_state(NodeState.RUNNING, message)

    async def log(self, message: str, level: LogLevel = LogLevel.INFO, **fields: str) -> None:
        """Say a line; each comes, and in order."""
        line = NodeLog(
            at=now(),
            execution_id=self._run.execution_id,
            node_id=self.node_id,
            level=level,
            message=message,
            fields=fields,
        )
        await self._run.publish(Workflow.node.log, line)

    async def output(
        self, name: str, media_type: str, content: bytes = b"", details: Mapping[str, str] | None = None
    ) -> None:
        """Hand out something that it has made."""
        await self._tell(
            Workflow.node.output,
            NodeOutput,
            self.last_cause,
            name=name,
            media_type=media_type,
            content=content,
            details=dict(details or {}),
        )

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[NodeRun]:
        """Run it as `async with` on itself does, but if it fails, tell that it is tried again."""
        await self.__aenter__()
        try:
            yield self
        except Exception as error:
            await self._fail(error, will_retry=True)
            raise
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        else:
            await self.__aexit__(None, None, None)

    async def __aenter__(self) -> Self:
        self._attempt += 1
        self._started_at, self.ended_at, self._percent = time.monotonic(), 0.0, 0.0
        cause = self._run.cause_of(self._after) if self._attempt == 1 else self.last_cause
        self.last_cause = await self._tell(Workflow.node.started, NodeStarted, cause, attempt=self._attempt)
        await self.tell_state(NodeState.RUNNING)
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if error is None:
            self._percent = 100.0
            fields = {"duration_ms": self.duration_ms, "message": self.message}
            await self._end(NodeState.FINISHED, Workflow.node.finished, NodeFinished, self.message, fields)
        elif isinstance(error, asyncio.CancelledError):
            await self.cancel(self.last_cause, self._run.cancel_reason)
        else:
            await self._fail(error)

    async def _fail(self, error: BaseException, *, will_retry: bool = False) -> None:
        first = first_failure(error)
        reason = reason_of(first)
        fields = {"duration_ms": self.duration_ms, "reason": reason, "code": code_of(first)}
        if will_retry:
            self.last_cause = await self._tell(
                Workflow.node.failed, NodeFailed, self.last_cause, will_retry=True, **fields
            )
            await self.tell_state(NodeState.PENDING, reason)
        else:
            await self._end(NodeState.FAILED, Workflow.node.failed, NodeFailed, reason, fields)

    async def cancel(self, cause: str | None, reason: str | None) -> None:
        """Tell that it was given up, or never had its turn."""
        self.last_cause = cause
        await self._end(
            NodeState.CANCELLED, Workflow.node.cancelled, NodeCancelled, reason, {"reason": reason}
        )

    async def tell_state(self, state: NodeState, message: str | None = None) -> None:
        """Tell how it stands with this node."""
        self.state, self.message = state, message
        told = NodeProgress(
            at=now(),
            execution_id=self._run.execution_id,
            node_id=self.node_id,
            state=state,
            percent=self._percent,
            message=message,
        )
        await self._run.publish(Workflow.node.progress, told)

    async def _end(
        self, state: NodeState, event: Any, payload: type[Any], message: str | None, fields: Mapping[str, Any]
    ) -> None:
        self.ended_at = time.monotonic()
        self.last_cause = await self._tell(event, payload, self.last_cause, **fields)
        await self.tell_state(state, message)
        await self._run.node_ended(self)

    async def _tell(self, event: Any, payload: type[Any], cause: str | None, **fields: Any) -> str:
        """Publish one event of the node's own, and give its id."""
        told_id = new_id()
        told = payload(
            id=told_id,
            at=now(),
            cause=cause,
            execution_id=self._run.execution_id,
            node_id=self.node_id,
            **fields,
        )
        await self._run.publish(event, told)
        return told_id


def now() -> datetime:
    """The time of day, as events carry it."""
    return datetime.now(UTC)


def new_id() -> str:
    """An id that no other event has."""
    return uuid4().hex


def first_failure(error: BaseException) -> BaseException:
    """The first error of a group, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def reason_of(error: BaseException) -> str:
    """What an error says, for people."""
    return str(error) or type(error).__name__


def code_of(error: BaseException) -> str | None:
    """What an error says, for programs: the code of one that a contract declares, or of ionbus's own."""
    return error.code if isinstance(error, IonbusError) else None
