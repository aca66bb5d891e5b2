"""A conversation that is cut at each byte, in both directions: the session goes on, and everything comes about once."""

from __future__ import annotations

from collections import deque
from typing import Literal

import pytest

from ionbus.channels.websocket_client import websocket_opener
from ionbus.testing import FaultProxy, ProxyConnection
from ionbus.testing.faults import DIRECTIONS, Direction
from trials.conversation import talk_broker
from trials.every_byte import CUTS_AT, MAKE_WIRE, cut_at_each, talking


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["to_broker", "to_client"])
async def test_a_websocket_is_cut_at_every_byte(direction: Direction) -> None:
    assert await cut_at_each(MAKE_WIRE["websocket"], CUTS_AT["once"], [direction]) > 900


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["to_broker", "to_client"])
async def test_a_channel_of_a_pipe_is_cut_at_every_byte(direction: Direction) -> None:
    assert await cut_at_each(MAKE_WIRE["pipe_losing_frames"], CUTS_AT["once"], [direction]) > 800


@pytest.mark.slow
@pytest.mark.parametrize("wire", MAKE_WIRE)
@pytest.mark.parametrize("way", [way for way in CUTS_AT if way != "once"])
async def test_it_is_cut_in_other_ways_at_some_bytes(wire: str, way: str) -> None:
    assert await cut_at_each(MAKE_WIRE[wire], CUTS_AT[way], step=23) > 70


@pytest.mark.slow
@pytest.mark.parametrize("how", ["reset", "close", "half_open"])
async def test_real_sockets_are_cut_at_some_bytes(how: Literal["reset", "close", "half_open"]) -> None:
    cuts: deque[tuple[Direction, int]] = deque()

    def plan(connection: ProxyConnection) -> None:
        if cuts:
            direction, after_bytes = cuts.popleft()
            if how == "half_open":
                connection.half_open("broker", after_bytes=after_bytes, direction=direction)
            else:
                connection.cut(how=how, after_bytes=after_bytes, direction=direction)

    async with (
        talk_broker.serve("ws://127.0.0.1:0", grace=1.0) as (endpoint,),
        FaultProxy(endpoint.url, on_connection=plan) as proxy,
    ):
        for number, after_bytes in enumerate(range(1, 900, 29), start=1):
            for direction in DIRECTIONS:
                cuts.extend([(direction, after_bytes)] * (1 + number % 2))
                async with talking(websocket_opener(proxy.url, endpoint.token)):
                    pass
            assert proxy.faults.counts["half_open" if how == "half_open" else "cut"] > number
