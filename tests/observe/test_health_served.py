"""A broker that is served on a real socket: a slow consumer, a blocked loop and a failing handler, and health names them."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from ionbus import Broker, Call, Contract, Event, InternalError, connect
from ionbus.generated.protocol import Limits
from ionbus.observe import Health, HealthBounds
from ionbus.observe.prometheus import IonbusCollector
from workshop import eventually


class Press(Contract, name="press"):
    printed = Event(str)
    crunch = Call(float, None)
    jam = Call(None, None)
    dry = Call(None, None)


def press() -> Broker[None]:
    broker: Broker[None] = Broker(Press, metrics=True)

    @broker.handle(Press.crunch)
    async def crunch(seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - that is what is wrong with it

    @broker.handle(Press.jam)
    async def jam() -> None:
        raise ZeroDivisionError

    @broker.handle(Press.dry)
    async def dry() -> None:
        await asyncio.Event().wait()

    return broker


def told(health: Health, kind: str) -> list[str]:
    return [problem.sentence for problem in health.problems if problem.kind == kind]


async def test_a_blocked_loop_is_named_with_what_blocked_it() -> None:
    broker = press()
    async with (
        broker.serve("ws://127.0.0.1:0") as endpoints,
        connect(endpoints[0].url, token=endpoints[0].token) as bus,
    ):
        assert told(broker.health(), "blocked_loop") == []
        await bus.call(Press.crunch, 0.4)
        await eventually(lambda: told(broker.health(), "blocked_loop"))
        (sentence,) = told(broker.health(), "blocked_loop")
        assert re.search(
            r"was blocked for \d+ ms by press\.crunch\(\) at observe/test_health_served\.py:\d+, ", sentence
        )
        assert broker.metrics().value("ionbus_loop_blocked_seconds_total") >= 0.1


async def test_a_loop_that_is_blocked_now_can_be_asked_from_another_thread() -> None:
    broker = press()
    async with broker.serve("ws://127.0.0.1:0"):

        def look() -> str:
            ends = time.monotonic() + 20
            while time.monotonic() < ends:
                for sentence in told(broker.health(), "blocked_loop"):
                    if "is blocked" in sentence:
                        return sentence
            return "nothing was seen"

        looking = asyncio.get_running_loop().run_in_executor(None, look)
        while not looking.done():
            time.sleep(0.25)  # noqa: ASYNC251 - that is what is looked for
            await asyncio.sleep(0)
        assert re.match(
            r"The event loop is blocked, for \d+ ms by now, by test_a_loop_.*:\d+\.", await looking
        )


async def test_a_failing_handler_is_named_with_its_incident() -> None:
    broker = press()
    async with (
        broker.serve("ws://127.0.0.1:0") as endpoints,
        connect(endpoints[0].url, token=endpoints[0].token) as bus,
    ):
        with pytest.raises(InternalError) as failed:
            await bus.call(Press.jam)
        assert told(broker.health(), "failing_handler") == [
            f"press.jam failed 1 of 1 times, the last time as incident {failed.value.incident_id}."
        ]


async def test_a_slow_and_a_hanging_handler_are_named() -> None:
    broker = press()
    async with (
        broker.serve("ws://127.0.0.1:0") as endpoints,
        connect(endpoints[0].url, token=endpoints[0].token) as bus,
    ):
        for _ in range(5):
            await bus.call(Press.crunch, 0.02)
        hanging = asyncio.ensure_future(bus.call(Press.dry, timeout=None))
        bounds = HealthBounds(slow_handler=0.015)
        await eventually(lambda: told(broker.health(bounds), "hanging_handler"))
        health = broker.health(bounds)
        (slow,) = told(health, "slow_handler")
        assert re.fullmatch(r"press\.crunch takes \d+ ms at p99, of 5 calls\.", slow)
        (hangs,) = told(health, "hanging_handler")
        assert re.fullmatch(r"press\.dry has been under way for .*s\.", hangs)
        hanging.cancel()


async def test_a_slow_consumer_is_named_and_scraped() -> None:
    broker = press()
    limits = replace(Limits(), credit_messages=16)
    bounds = HealthBounds(slow_consumer=0.1)
    async with broker.serve("ws://127.0.0.1:0") as endpoints:
        url, token = endpoints[0].url, endpoints[0].token
        async with connect(url, token=token, limits=limits) as slow, slow.events(Press.printed) as printed:
            emits = (broker.emit(Press.printed, str(number)) for number in range(100))
            await asyncio.gather(*emits)
            await eventually(lambda: told(broker.health(bounds), "slow_consumer"))
            (sentence,) = told(broker.health(bounds), "slow_consumer")
            text = await scraped(broker)
            assert await anext(aiter(printed)) == "0"
    assert re.match(
        r"session [0-9a-f]{8} \(\w+\) is a slow consumer: 84 events \(\d+ bytes\) wait for it, and have",
        sentence,
    )
    assert "\nionbus_queued_events 84.0\n" in text
    assert '\nionbus_events_queued_total{event="press.printed"} 100.0\n' in text


async def scraped(broker: Broker[None]) -> str:
    """What Prometheus would read."""
    registry = CollectorRegistry()
    registry.register(IonbusCollector(broker))
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        response = await asyncio.to_thread(urllib.request.urlopen, url)
        with response:
            return str(response.read(), "utf-8")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
