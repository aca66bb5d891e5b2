"""A broker and clients in memory, in a test's hands."""

from __future__ import annotations

import asyncio

import pytest

from ionbus import (
    Broker,
    Call,
    ConnectionLost,
    ConnectionState,
    Contract,
    NotAllowed,
    Principal,
    SessionLost,
    Unauthenticated,
)
from ionbus.testing import FakeClock, Faults, Recorder, pair
from workshop import Pair as Two, Workshop, eventually, make_broker


async def test_a_call_an_event_and_the_state() -> None:
    async with pair(make_broker()) as at:
        heard: list[str] = []
        at.bus.on(Workshop.noticed, heard.append)
        assert await at.bus.call(Workshop.add, Two(left=1, right=2)) == 3
        assert await at.bus.call(Workshop.report, 2) == "done"
        assert heard == ["step 0", "step 1"]
        assert at.state.started == []
        assert len(at.broker.sessions) == 1


async def test_a_cut_is_told_at_once_and_the_session_resumes() -> None:
    async with pair(make_broker()) as at:
        recorder = Recorder()
        recorder.record(at.bus)
        call = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
        await eventually(lambda: at.state.started)
        at.cut()
        assert at.bus.state == ConnectionState.RECONNECTING
        await at.reconnected()
        at.state.gate("x").set()
        assert await call == "x"
        assert [change.outcome for change in recorder.states] == [None, "resumed"]


async def test_a_restart_forgets_sessions_and_handlers_and_makes_a_new_state() -> None:
    async with pair(make_broker()) as at:
        recorder = Recorder()
        recorder.record(at.bus, Workshop.noticed)
        before = at.state
        call = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
        await eventually(lambda: before.started)
        await at.restart()
        assert at.bus.state == ConnectionState.OPEN
        with pytest.raises(SessionLost):
            await call
        assert before.ended == ["x"]
        assert at.state is not before
        assert [(change.code, change.outcome) for change in recorder.states] == [
            ("connection_lost", None),
            ("new_epoch", "lost"),
        ]
        await at.bus.call(Workshop.report, 1)
        assert [each.payload for each in recorder.events] == ["step 0"]  # the subscription was made again


async def test_between_stop_and_start_nobody_answers() -> None:
    async with pair(make_broker()) as at:
        await at.stop()
        assert not at.broker.is_served
        attempts = at.listener.attempts
        waiting = asyncio.create_task(at.bus.call(Workshop.add, Two(left=2, right=2)))
        await eventually(lambda: at.listener.attempts > attempts)
        assert not waiting.done()
        await at.start()
        assert await waiting == 4  # it had never left


async def test_several_clients_with_their_own_tokens_and_wires() -> None:
    def who(token: str | None) -> str | None:
        return token if token in {"ada", "bob"} else None

    async with pair(make_broker(), authenticate=who, token="ada") as at:
        bob = await at.connect(token="bob")
        assert {str(session.principal) for session in at.broker.sessions} == {"ada", "bob"}
        bob.cut()
        assert (at.bus.state, bob.bus.state) == (ConnectionState.OPEN, ConnectionState.RECONNECTING)
        await bob.reconnected()
        with pytest.raises(Unauthenticated):
            await at.connect(token="eve")
        await bob.close()
        await eventually(lambda: len(at.broker.sessions) == 1)
        with pytest.raises(ConnectionLost):
            await bob.reconnected()
        bus = at.bus
    assert bus.state == ConnectionState.CLOSED


async def test_it_opens_and_closes_on_a_clock_that_stands_still() -> None:
    with FakeClock() as clock:
        async with pair(make_broker()) as at:
            await at.bus.emit(Workshop.said, "something")
            assert await at.bus.call(Workshop.add, Two(left=1, right=2)) == 3
            at.half_open()
            await at.bus.emit(Workshop.said, "what will never leave")
        async with pair(make_broker(), faults=Faults(seed=1, delay=0.5)) as at:
            began = clock.elapsed
            assert await clock.drive(at.bus.call(Workshop.add, Two(left=1, right=2))) == 3
            assert clock.elapsed == began + 1


async def test_a_broker_that_others_serve_too_is_not_restarted() -> None:
    broker = make_broker()
    async with broker.serve("ws://127.0.0.1:0"), pair(broker) as at:
        assert await at.bus.call(Workshop.add, Two(left=1, right=2)) == 3
        with pytest.raises(RuntimeError, match="served elsewhere"):
            await at.restart()


class Vault(Contract, name="vault"):
    look = Call(None, str)
    open = Call(None, str, roles={"keeper"})


async def test_clients_have_the_roles_that_a_test_gives_them() -> None:
    broker = Broker(Vault)

    @broker.handle(Vault.look)
    async def look() -> str:
        return "closed"

    @broker.handle(Vault.open)
    async def open_it() -> str:
        return "open"

    async with pair(broker, roles=set()) as at:
        assert await at.bus.call(Vault.look) == "closed"
        with pytest.raises(NotAllowed):
            await at.bus.call(Vault.open)
        for keeper in (await at.connect(roles={"keeper"}), await at.connect()):
            assert await keeper.bus.call(Vault.open) == "open"

    def who(token: str | None) -> Principal:
        return Principal("ada", {"keeper"} if token == "ada" else set())

    async with pair(broker, authenticate=who, token="ada") as at:
        assert await at.bus.call(Vault.open) == "open"
        with pytest.raises(NotAllowed):
            await (await at.connect()).bus.call(Vault.open)


async def test_pairs_may_share_their_faults() -> None:
    faults = Faults(seed=1)
    async with pair(make_broker(), faults=faults) as first:
        async with pair(make_broker(), faults=faults):
            faults.half_open()
            assert len(faults.channels) == 2
        assert len(faults.channels) == 1
        faults.close()
        first.wire.cut()
    assert faults.channels == []


async def test_it_says_where_a_client_does_not_come_back() -> None:
    with FakeClock():
        async with pair(make_broker()) as at:
            at.listener.is_refusing = True
            at.cut()
            with pytest.raises(TimeoutError, match="not open within 3 s; it is reconnecting"):
                await at.reconnected(timeout=3)
