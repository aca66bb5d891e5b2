"""The cases of schemas/cases/emitter.json, which say what an emitter does, run by the Python one; schemas/cases/README.md has the language."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel

from ionbus import CallCancelled, Contract, Emitter, Event, InvalidPayload, NotFound, Received, SlowConsumer
from ionbus.events.failures import ListenerFailure
from ionbus.testing import FakeClock

CASES = json.loads((Path(__file__).parents[2] / "schemas" / "cases" / "emitter.json").read_text())
Step = dict[str, Any]


class Progress(BaseModel):
    node: str
    percent: int


class Flow(Contract, name="flow"):
    progress = Event(Progress)
    finished = Event(str)
    pinged = Event(None)

    class nodes(Contract):  # noqa: N801 - an attribute, as contracts inside others are
        added = Event(str)
        removed = Event(str)

        class gpu(Contract):  # noqa: N801
            found = Event(str)


class Other(Contract, name="other"):
    said = Event(str)


WHATS: dict[str, Any] = {
    "flow": Flow,
    "flow.nodes": Flow.nodes,
    "flow.nodes.gpu": Flow.nodes.gpu,
    "other": Other,
    "value:": 5,
    **{
        member.name: member for contract in (Flow, Other) for member in contract.__contract__.members.values()
    },
}

ERRORS: dict[str, type[Exception]] = {
    "invalid": InvalidPayload,
    "unknown": NotFound,
    "pattern": ValueError,
    "type": TypeError,
    "depth": RecursionError,
    "slow": SlowConsumer,
    "timeout": TimeoutError,
    "cancelled": CallCancelled,
    "closed": RuntimeError,
}


class Case(TypedDict, total=False):
    group: str
    rule: str
    emitter: dict[str, Any]
    listeners: dict[str, dict[str, Any]]
    steps: list[Step]


class Awaitable:
    """Something to await that is no coroutine."""

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def __await__(self) -> Generator[Any, None, None]:
        self._log.append("awaited")
        yield from asyncio.sleep(0).__await__()


class Owner:
    """The object of a weak listener."""

    def __init__(self, listener: Callable[[Any], object]) -> None:
        self._listener = listener

    def heard(self, value: object) -> object:
        return self._listener(value)


class Stage:
    """One case as it is played."""

    def __init__(self, case: Case, clock: FakeClock, records: list[logging.LogRecord]) -> None:
        self.clock = clock
        self.records = records
        self.log: list[str] = []
        self.failures: list[list[str]] = []
        self.given: dict[str, object] = {}
        self.specs = case.get("listeners", {})
        self.listeners: dict[str, Any] = {}
        self.subscriptions: dict[str, Any] = {}
        self.readers: dict[str, Any] = {}
        self.owners: dict[str, Owner] = {}
        self.ends: dict[str, asyncio.Future[None]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.beside: dict[str, asyncio.Task[Any]] = {}
        options = dict(case.get("emitter", {}))
        contracts = [WHATS[name] for name in options.pop("contracts", ["flow"])]
        on_error = {True: self.told, False: None, "throws": self.told_and_fails}[
            options.pop("on_error", True)
        ]
        self.emitter = Emitter(*contracts, on_error=on_error, **options)

    # Listeners.

    def told(self, failure: ListenerFailure) -> None:
        if isinstance(failure.error, RecursionError):
            self.failures.append([failure.listener, failure.event, "depth"])
        else:
            self.log.append(f"! {failure.listener} {failure.event} {failure.error}")

    def told_and_fails(self, failure: ListenerFailure) -> None:
        self.told(failure)
        raise ValueError("on_error itself")

    def listener(self, name: str) -> Any:
        if name not in self.listeners:
            self.listeners[name] = self.make_listener(name, self.specs.get(name, {}))
        return self.listeners[name]

    def make_listener(self, name: str, spec: dict[str, Any]) -> Any:
        steps = spec.get("does", [])

        def plain(value: object) -> object:
            self.called(name, value)
            result = None
            for step in steps:
                result = self.returned(step["return"]) if "return" in step else self.do(step)
            return result

        async def later(value: object) -> None:
            self.called(name, value)
            for step in steps:
                await self.take(step)

        def generator(_: object) -> Generator[None, None, None]:
            yield

        async def async_generator(_: object) -> Any:
            yield

        kinds: dict[str, Any] = {"generator": generator, "async generator": async_generator, "value": 5}
        listener = kinds[spec["kind"]] if "kind" in spec else later if spec.get("async") else plain
        if callable(listener):
            listener.__qualname__ = name
        return listener

    def called(self, name: str, value: object) -> None:
        payload = value.payload if isinstance(value, Received) else value
        self.given[name] = payload
        words = [name, *([value.name] if isinstance(value, Received) else [])]
        if isinstance(payload, BaseModel):
            words.append(payload.model_dump_json())
        elif payload is not None:
            words.append(str(payload))
        self.log.append(" ".join(words))

    def returned(self, kind: str) -> object:
        async def async_generator() -> Any:
            yield

        def generator() -> Generator[None, None, None]:
            yield

        made: dict[str, Callable[[], object]] = {
            "value": lambda: 5,
            "generator": generator,
            "async generator": async_generator,
            "awaitable": lambda: Awaitable(self.log),
        }
        return made[kind]()

    # Steps.

    def what(self, name: str) -> Any:
        return name.removeprefix("text:") if name.startswith("text:") or "*" in name else WHATS[name]

    def do(self, step: Step) -> object:
        """Take a step that does not wait."""
        try:
            return self.do_now(step)
        except RecursionError as error:
            if step.get("may_raise") != "depth":
                raise
            self.says(step, str(error))
            self.log.append("> depth")
            return None

    def do_now(self, step: Step) -> object:
        emitter, name = self.emitter, step.get("listener")
        match step:
            case {"on": what}:
                self.listen(self.what(what), name or "", step)
            case {"off": what}:
                closed = emitter.off(self.what(what), None if name is None else self.listener(name))
                assert closed == step.get("closed", closed)
            case {"close": subscription}:
                self.subscriptions[subscription].close()
            case {"is_open": subscription, "is": expected}:
                assert self.subscriptions[subscription].is_open is expected
            case {"emit_nowait": event}:
                emitter.emit_nowait(self.what(event), step.get("with"))
            case {"dropped": reader, "is": expected}:
                assert self.readers[reader].dropped == expected
            case {"open": gate}:
                self.gate(gate).set()
            case {"throw": text}:
                raise ValueError(text)
            case {"end": until}:
                self.ends[until].set_result(None)
            case {"drop": owner}:
                del self.owners[owner]
                gc.collect()
            case {"note": text}:
                self.log.append(text)
            case {"log": expected}:
                log, self.log = self.log, []
                assert log == expected
            case {"failures": expected}:
                failures, self.failures = self.failures, []
                assert failures == expected
            case {"same_payload": [one, other]}:
                assert self.given[one] is self.given[other]
            case {"subscriptions": expected}:
                found = [[each.pattern, each.listener, each.calls] for each in emitter.subscriptions()]
                assert found == expected
            case {"warnings": count} | {"errors": count}:
                level = logging.WARNING if "warnings" in step else logging.ERROR
                told = [record.getMessage() for record in self.records if record.levelno == level]
                self.records.clear()
                assert len(told) == count
                self.says(step, told[-1] if told else "")
            case _:
                raise AssertionError(f"no such step: {step}")
        return None

    async def do_later(self, step: Step) -> object:
        """Take any step."""
        emitter = self.emitter
        match step:
            case {"emit": event}:
                await emitter.emit(self.what(event), step.get("with"))
            case {"idle": _}:
                await emitter.idle()
            case {"read": what, "as": name}:
                options = {key: step[key] for key in ("limit", "overflow") if key in step}
                self.readers[name] = emitter.events(self.what(what), **options)
                await self.readers[name].__aenter__()
            case {"next": name}:
                return await self.next(self.readers[name])
            case {"leave": name}:
                await self.readers[name].__aexit__(None, None, None)
            case {"wait_for": event}:
                return await emitter.wait_for(self.what(event), self.where(step), step.get("timeout"))
            case {"wait": gate}:
                await self.gate(gate).wait()
            case {"hang": _}:
                await asyncio.get_running_loop().create_future()
            case {"finish": _}:
                await emitter.aclose()
            case {"advance": seconds}:
                await self.clock.advance(seconds)
            case {"settle": _}:
                await self.clock.settle()
            case {"pending": name}:
                await self.clock.settle()
                assert not self.beside[name].done()
            case _:
                return self.do(step)
        return None

    async def take(self, step: Step) -> None:
        """Take a step, and see to what it is to give or raise."""
        if "in" in step:
            self.beside[step["in"]] = asyncio.create_task(self.do_later(step))
        elif "join" in step:
            await self.check(step, self.beside.pop(step["join"]))
        else:
            await self.check(step, self.do_later(step))

    async def check(self, step: Step, work: Any) -> None:
        raises = step.get("raises")
        if raises is None:
            value = await work
            assert (value is END) == (step.get("end") is True)
            if "gives" in step:
                assert self.plain(value) == step["gives"]
            return
        with pytest.raises(ERRORS.get(raises, ValueError)) as caught:
            await work
        if raises not in ERRORS:
            assert str(caught.value) == raises
        self.says(step, str(caught.value))

    def says(self, step: Step, text: str) -> None:
        for part in step.get("says", []):
            assert part in text

    async def next(self, reader: Any) -> object:
        async for value in reader:
            return value
        return END

    def plain(self, value: object) -> object:
        return {"name": value.name, "payload": value.payload} if isinstance(value, Received) else value

    def listen(self, what: Any, name: str, step: Step) -> None:
        listener = self.listener(name)
        if "weak" in step:
            owner = self.owners[step["weak"]] = Owner(listener)
            listener = owner.heard
        if "until" in step and step["until"] not in self.ends:
            self.ends[step["until"]] = asyncio.get_running_loop().create_future()
        on = self.emitter.once if step.get("once") else self.emitter.on
        self.subscriptions[step.get("as", name)] = on(
            what, listener, weak="weak" in step, until=self.ends.get(step.get("until", ""))
        )

    def where(self, step: Step) -> Callable[[object], bool] | None:
        wanted = step.get("where")
        if wanted is None:
            return None

        def matches(value: object) -> bool:
            if wanted == "throws":
                raise ValueError("boom")
            return bool(value == wanted)

        return matches

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())


END = object()


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{case['group']}: {case['rule']}") for case in CASES["cases"]]
)
async def test_case(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    with FakeClock() as clock, caplog.at_level(logging.WARNING, "ionbus"):
        stage = Stage(case, clock, caplog.records)
        for step in case["steps"]:
            await stage.take(step)
        assert stage.log == []
        assert stage.failures == []
        assert stage.beside == {}
        await stage.emitter.aclose()
