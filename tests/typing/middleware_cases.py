# mypy: ignore-errors
"""Right and wrong uses of middleware, for type checkers. Each wrong line ends in `# error`; no other may be flagged."""

from collections.abc import AsyncIterator
from typing import Any, assert_type

from ionbus.broker.broker import Broker
from ionbus.client.client import connect
from ionbus.contract.contract import Call, Contract, Event, Stream
from ionbus.dispatch.context import Context
from ionbus.middleware import Dropped, Key, Message, Next, cache, drop, logging, only, retry, timeout, tracing


class Conductor(Contract, name="conductor"):
    noted = Event(str, source="any")
    execute = Call(int, str)
    logs = Stream(int, str)


broker = Broker(Conductor)
USER = Key[str]("user")


async def anything(message: Message[Any], next: Next) -> Any:
    message.state[USER] = "ada"
    message.state[USER] = 7  # error
    assert_type(message.state[USER], str)
    assert_type(message.state.get(USER), str | None)
    return await next(message)


async def of_call(message: Message[int], next: Next[int, str]) -> str:
    assert_type(message.payload, int)
    answer = await next(message.replace(payload=message.payload + 1))
    assert_type(answer, str)
    await next(message.replace(payload="x"))  # error
    await next(message.payload)  # error
    return answer


async def of_other_call(message: Message[str], next: Next[str, str]) -> str:
    return await next(message)


async def wrong_answer(message: Message[int], next: Next[int, str]) -> int:
    return len(await next(message))


async def of_stream(message: Message[int], next: Next[int, AsyncIterator[str]]) -> AsyncIterator[str]:
    items = await next(message)
    return (item.upper() async for item in items)


async def of_event(message: Message[str], next: Next[str, Dropped | None]) -> Dropped | None:
    return await next(message) if message.payload else drop("empty")


def not_async(message: Message[Any], next: Next) -> str:
    return "x"


broker.use(anything)
broker.use(anything, Conductor, kind="call", direction="inbound")
broker.use(anything, "conductor.*")
broker.use(anything, Conductor.execute)
broker.use(of_call, Conductor.execute)
broker.use(of_stream, Conductor.logs, direction="outbound")
broker.use(of_event, Conductor.noted)
for shipped in (logging(), timeout(1.0), retry(attempts=2), cache(ttl=1.0), tracing()):
    broker.use(shipped)
    broker.use(shipped, Conductor.logs)
broker.use(only(Conductor.execute, of_call, anything))
broker.use(only(Conductor, anything, kind="event"))

broker.use(of_other_call, Conductor.execute)  # error
broker.use(wrong_answer, Conductor.execute)  # error
broker.use(of_stream, Conductor.execute)  # error
broker.use(of_event, Conductor.execute)  # error
broker.use(of_call, Conductor.logs)  # error
broker.use(of_call, Conductor.noted)  # error
broker.use(not_async)  # error
broker.use(retry)  # error
broker.use(anything, kind="calls")  # error
broker.use(anything, direction="in")  # error
broker.use(anything, 7)  # error
timeout("1")  # error
retry(attempts="3")  # error


async def client() -> None:
    async with connect(broker) as bus:
        bus.use(of_call, Conductor.execute)
        bus.use(of_other_call, Conductor.execute)  # error


async def handler(ctx: Context) -> None:
    assert_type(ctx.passage[USER], str)
    assert_type(ctx.trace, str | None)
