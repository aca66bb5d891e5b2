"""The rules of docs/middleware.md, case by case: schemas/cases/middleware.json, which TypeScript runs too."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest

from ionbus import Call, Contract, Event, IonbusError, Stream
from ionbus.errors import error_from_wire
from ionbus.middleware import AnyMiddleware, Dropped, Message, MiddlewareError, drop
from ionbus.middleware.onion import pass_through

ROOT = Path(__file__).parents[2]
CASES = json.loads((ROOT / "schemas/cases/middleware.json").read_text())["cases"]


class Cases(Contract, name="cases"):
    call = Call(str, str)
    plain = Call(str, None)
    stream = Stream(str, str)
    event = Event(str, source="any")


MEMBERS = {member.name: member for member in Cases.__contract__.members.values()}


def message_for(kind: str) -> Message[Any]:
    member = MEMBERS[f"cases.{kind}"]
    return Message(member.kind, "inbound", member.name, member, "x")


def code_of(error: BaseException) -> str:
    return error.code if isinstance(error, IonbusError) else type(error).__name__


class Listed:
    """A list's items, and a note when they end or are closed."""

    def __init__(self, items: list[str], closed: list[str]) -> None:
        self._items = iter(items)
        self._closed: list[str] | None = closed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        for item in self._items:
            return item
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if self._closed is not None:
            self._closed.append("end")
            self._closed = None


class Run:
    """One case."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.log: list[str] = []
        self.closed: list[str] = []
        self.kept: list[Any] = []
        self.ends = list(case["end"])
        self.waits = asyncio.Event()
        self.chain = [self.layer(index, steps) for index, steps in enumerate(case["layers"])]
        self.message = message_for(case["kind"])

    async def end(self, message: Message[Any]) -> Any:
        self.log.append(f"end {message.payload}")
        given = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if given == "wait":
            self.waits.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.log.append("end cancelled")
                raise
        if isinstance(given, str) and given.startswith("!"):
            raise error_from_wire(given[1:], "the end fails")
        if isinstance(given, list):
            return Listed(given, self.closed)
        return None if message.kind == "event" else given

    def layer(self, index: int, steps: list[Any]) -> AnyMiddleware:
        async def middleware(message: Message[Any], next: Any) -> Any:
            return await self.walk(index, steps, message, next)

        middleware.__qualname__ = f"mw{index}"
        return middleware

    async def walk(self, index: int, steps: list[Any], message: Message[Any], next: Any) -> Any:
        result: Any = None
        logs = False
        for step in steps:
            match step:
                case "log":
                    logs = True
                    self.log.append(f"{index} > {message.payload}")
                case "pass":
                    try:
                        result = await next(message)
                    except asyncio.CancelledError:
                        self.note(logs, f"{index} cancelled")
                        raise
                    except Exception as error:
                        self.note(logs, f"{index} ! {code_of(error)}")
                        raise
                    self.note(logs, f"{index} < {shown(result)}")
                case {"change": text}:
                    message = message.replace(payload=message.payload + text)
                case {"append": text}:
                    result += text
                case {"each": text}:
                    result = self.each(index, result, text)
                case {"answer": answer}:
                    result = items_of(answer) if isinstance(answer, list) else answer
                case "nothing":
                    result = None
                case {"refuse": code}:
                    raise error_from_wire(code, "refused")
                case {"drop": reason}:
                    result = drop(reason)
                case "retry":
                    while True:
                        try:
                            result = await next(message)
                            break
                        except IonbusError:
                            continue
                case "swallow":
                    with suppress(IonbusError):
                        await next(message)
                case "both":
                    await asyncio.gather(next(message), next(message))
                case "start":
                    self.kept.append(asyncio.ensure_future(next(message)))
                    await self.waits.wait()
                case "keep":
                    self.kept.append(next)
                case {"stray": "payload"}:
                    await next(message.payload)
                case {"stray": "other"}:
                    await next(message_for("call"))
                case _:
                    raise AssertionError(step)
        return result

    def note(self, logs: bool, text: str) -> None:
        if logs:
            self.log.append(text)

    async def each(self, index: int, items: AsyncIterator[str], text: str) -> AsyncIterator[str]:
        try:
            async for item in items:
                yield item + text
        finally:
            self.closed.append(str(index))


async def items_of(items: list[str]) -> AsyncIterator[str]:
    for item in items:
        yield item


def shown(result: object) -> str:
    if result is None:
        return "nothing"
    if isinstance(result, Dropped):
        return f"drop {result.reason}"
    return "items" if hasattr(result, "__aiter__") else str(result)


async def read(items: Any, take: int | None) -> list[str]:
    found: list[str] = []
    while take is None or len(found) < take:
        try:
            found.append(await anext(items))
        except StopAsyncIteration:
            break
    await items.aclose()
    return found


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{case['rule']}: {case['kind']}: {case['name']}" for case in CASES]
)
async def test_case(case: dict[str, Any]) -> None:
    run = Run(case)
    passing = asyncio.ensure_future(pass_through(run.chain, run.message, run.end))
    if "cancel" in case:
        await run.waits.wait()
        passing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await passing
    elif "error" in case:
        with pytest.raises((IonbusError, MiddlewareError)) as raised:
            await passing
        assert code_of(raised.value) == case["error"]
        assert case.get("text", "") in str(raised.value)
        assert all(task.done() for task in run.kept)
    else:
        result = await passing
        if case["kind"] == "stream":
            result = await read(result, case.get("take"))
        if "dropped" in case:
            assert result == Dropped(case["dropped"])
        else:
            assert result == case["gives"]
    if "log" in case:
        assert run.log == case["log"]
    assert run.closed == case.get("closed", run.closed)
    if "later" in case:
        with pytest.raises(MiddlewareError, match=re.escape(case["text"])):
            await run.kept[0](run.message)


def test_each_rule_of_the_page_has_its_cases_and_they_have_it() -> None:
    page = (ROOT / "docs/middleware.md").read_text()
    rules = re.findall(r"^\| ([a-z ]+) \|", page.partition("## Rules")[2].partition("\n## ")[0], re.MULTILINE)
    assert rules[0] == "rule"
    assert set(rules[1:]) == {case["rule"] for case in CASES}
