"""`ionbus health` and `ionbus metrics`, beside a broker that this test serves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from ionbus import Broker, Call, Contract, Event, InternalError, NotAllowed, connect
from ionbus.admin import Admin
from ionbus.observe.health import Health
from program import ionbus


class Sold(BaseModel):
    price: float


class Shop(Contract, name="shop"):
    sell = Call(None, None)
    sold = Event(Sold)


@pytest.fixture
def broker() -> Broker[Any]:
    broker: Broker[Any] = Broker(Shop, metrics=True)

    @broker.handle(Shop.sell)
    async def sell() -> None:
        raise RuntimeError("the till is jammed")

    return broker


async def test_health_says_what_is_wrong_and_exits_with_status_1(broker: Broker[Any]) -> None:
    async with broker.serve("ws://127.0.0.1:0", roles={"admin"}, grace=1.0) as (endpoint,):
        assert endpoint.token is not None
        reach = {"IONBUS_URL": endpoint.url, "IONBUS_TOKEN": endpoint.token}
        done = await ionbus("health", **reach)
        # On a machine that has much else to do the loop may have been held up.
        assert (done.status, done.out) == (0, "All is well.\n") or done.out.startswith("blocked_loop: ")
        async with connect(endpoint.url, token=endpoint.token) as bus:
            with pytest.raises(InternalError):
                await bus.call(Shop.sell)
        done = await ionbus("health", **reach)
        assert done.status == 1
        assert "failing_handler: shop.sell failed 1 of 1 times" in done.out
        report = json.loads((await ionbus("health", "--json", **reach)).out)
        assert not report["is_well"]
        assert "shop.sell" in [problem["subject"] for problem in report["problems"]]


async def test_metrics_prints_what_was_counted(broker: Broker[Any]) -> None:
    async with broker.serve("ws://127.0.0.1:0", roles={"admin"}, grace=1.0) as (endpoint,):
        assert endpoint.token is not None
        reach = {"IONBUS_URL": endpoint.url, "IONBUS_TOKEN": endpoint.token}
        done = await ionbus("metrics", "--name", "ionbus_sessions", **reach)
        assert "ionbus_sessions" in done.out
        assert "frames" not in done.out
        every = (await ionbus("metrics", "--json", **reach)).lines
        assert {line["name"] for line in every} >= {"ionbus_sessions", "ionbus_held_bytes"}


async def test_subscriptions_says_who_listens_to_what(broker: Broker[Any]) -> None:
    async with broker.serve("ws://127.0.0.1:0", roles={"admin"}, grace=1.0) as (endpoint,):
        assert endpoint.token is not None
        reach = {"IONBUS_URL": endpoint.url, "IONBUS_TOKEN": endpoint.token}
        async with connect(endpoint.url, token=endpoint.token) as bus:
            await bus.on("shop.*", print).confirmed()
            await bus.on(Shop.sold, print, every=0.5, where=lambda sold: sold.price > 3).confirmed()
            [session] = broker.sessions
            done = await ionbus("subscriptions", **reach)
            plain, sampled = done.out.splitlines()
            assert session.id[:8] in plain
            assert plain.endswith(" shop.*")
            assert "shop.sold every=500" in sampled
            listed = (await ionbus("subscriptions", "--json", **reach)).lines
            assert [line["pattern"] for line in listed] == ["shop.*", "shop.sold"]
            assert listed[1]["options"]["where"] == ["price", ">", 3]


async def test_the_wire_tells_the_same_as_the_broker(broker: Broker[Any]) -> None:
    async with connect(broker) as bus:
        assert isinstance(await bus.call(Admin.health), Health)  # type: ignore[arg-type]
        told = await bus.call(Admin.metrics)
        assert told.value("ionbus_sessions") == broker.metrics().value("ionbus_sessions") == 1
    async with connect(broker, roles=frozenset({"user"})) as bus:
        for call in (Admin.health, Admin.metrics):
            with pytest.raises(NotAllowed):
                await bus.call(call)
