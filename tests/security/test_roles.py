"""Roles: the broker keeps to them whatever the client library says, and WELCOME tells of them so that clients need not ask."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgpack
import pytest

from ionbus import (
    Broker,
    Call,
    Contract,
    IonbusError,
    NotAllowed,
    Principal,
    Received,
    Unauthenticated,
    connect,
)
from ionbus.broker.principals import EVERYTHING, covering, of_parent, roles_of
from ionbus.channels.base import PeerIdentity
from ionbus.channels.memory import MemoryListener
from ionbus.client.bus import Bus
from ionbus.events.patterns import matcher
from raw_client import Raw, hello
from security.vault import Level, Seen, Vault, make_vault
from workshop import eventually

WITHHELD = r"vault\.\w+ needs the role admin"


@dataclass
class Scene:
    broker: Broker
    seen: Seen
    admin: Bus
    guest: Bus

    async def raw(self, roles: frozenset[str] = frozenset()) -> Raw:
        """A client that has been greeted and looks at no rights."""
        raw = Raw()
        raw.channel = (await MemoryListener(self.broker.accept_local(roles)).open(raw)).channel
        raw.channel.max_frame_bytes = 1 << 20
        raw.send(1, hello(session=secrets.token_bytes(16)))
        await eventually(lambda: raw.frames)
        return raw


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    broker, seen = make_vault()
    async with connect(broker, roles={"admin"}) as admin, connect(broker, roles=set()) as guest:
        yield Scene(broker, seen, admin, guest)


def payload(value: object) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


def elements(raw: Raw) -> list[Any]:
    """Every element that the broker has sent."""
    return [element for frame in raw.frames if frame[0] == 0 for element in frame[3:]]


async def sent_to(raw: Raw, first_seq: int, *messages: list[Any]) -> list[Any]:
    """Send messages and a last call that everybody may make; give what came before its result."""
    raw.send(0, first_seq, 0, *messages, [2, 99, "vault.read", payload(None)])
    await eventually(lambda: any(element[:2] == [3, 99] for element in elements(raw)), "the last answer")
    return elements(raw)


# What the broker does.


async def test_who_has_the_role_may_do_it(scene: Scene) -> None:
    admin = scene.admin
    assert await admin.call(Vault.unlock, "front") == "open"
    async with admin.stream(Vault.audit, 2) as numbers:
        assert [number async for number in numbers] == [0, 1]
    heard: list[str] = []
    await admin.on(Vault.unlocked, heard.append).confirmed()
    await scene.broker.emit(Vault.unlocked, "the front door")
    await admin.emit(Vault.ordered, "close it")
    await eventually(lambda: heard == ["the front door"] and scene.seen.events == ["close it"])


async def test_one_of_several_roles_is_enough() -> None:
    broker, _ = make_vault()
    async with connect(broker, roles={"auditor"}) as auditor:
        async with auditor.stream(Vault.audit, 1) as numbers:
            assert [number async for number in numbers] == [0]
        with pytest.raises(NotAllowed):
            await auditor.call(Vault.unlock, "front")


async def test_a_call_without_the_right_never_reaches_its_handler(scene: Scene) -> None:
    raw = await scene.raw()
    got = await sent_to(
        raw,
        1,
        [2, 1, "vault.unlock", payload("front")],
        [6, 2, "vault.audit", payload(3), {"credit": [9, 9]}],
    )
    assert [element[:3] for element in got[:2]] == [[4, 1, "not_allowed"], [4, 2, "not_allowed"]]
    assert got[0][3] == "vault.unlock needs the role admin"
    assert got[1][3] == "vault.audit needs the role admin or auditor"
    assert scene.seen.calls == ["read"]


async def test_an_event_without_the_right_reaches_neither_listeners_nor_other_clients(scene: Scene) -> None:
    heard: list[str] = []
    await scene.admin.on(Vault.ordered, heard.append).confirmed()
    await scene.admin.on(Vault.whispered, heard.append).confirmed()
    raw = await scene.raw()
    got = await sent_to(
        raw, 1, [1, "vault.ordered", payload("open it")], [1, "vault.whispered", payload("psst")]
    )
    assert [element[:3] for element in got[:2]] == [[14, 1, "not_allowed"], [14, 2, "not_allowed"]]
    await scene.admin.emit(Vault.knocked, "last")
    await eventually(lambda: scene.seen.events == ["last"])
    assert heard == []


async def test_subscribing_to_a_name_without_the_right_is_refused(scene: Scene) -> None:
    problems: list[IonbusError] = []
    scene.guest.on_error(problems.append)
    for event in (Vault.unlocked, Vault.level, Vault.ordered, Vault.whispered):
        with pytest.raises(NotAllowed, match=WITHHELD):
            await scene.guest.on(event, lambda _: None).confirmed()
    assert len(problems) == 4
    await scene.guest.on(Vault.noticed, lambda _: None).confirmed()


@pytest.mark.parametrize("pattern", ["vault.*", "vault.**", "**", "*.*", "*.unlocked"])
async def test_a_pattern_brings_nothing_that_its_client_may_not_have(scene: Scene, pattern: str) -> None:
    await scene.broker.emit(Vault.level, Level(tank="old", litres=1))  # newest values are withheld as well
    heard: list[Received[object]] = []
    everything: list[Received[object]] = []
    await scene.guest.on(pattern, heard.append).confirmed()
    await scene.guest.on("vault.noticed", heard.append).confirmed()
    await scene.admin.on("vault.*", everything.append).confirmed()
    await scene.broker.emit(Vault.unlocked, "door")
    await scene.broker.emit(Vault.level, Level(tank="new", litres=2))
    await scene.admin.emit(Vault.whispered, "psst")
    await scene.broker.emit(Vault.whispered, "aloud")
    await scene.broker.emit(Vault.noticed, "last")
    await eventually(lambda: any(event.name == "vault.noticed" for event in heard))
    assert {event.name for event in heard} == {"vault.noticed"}
    names = [event.name for event in everything]
    assert names.count("vault.level") == 2
    assert {"vault.unlocked", "vault.whispered"} <= set(names)


async def test_clients_events_are_relayed_to_those_alone_who_have_the_role() -> None:
    broker, _ = make_vault()
    async with (
        connect(broker, roles={"admin"}) as one,
        connect(broker, roles={"admin"}) as other,
        connect(broker, roles={"auditor"}) as third,
    ):
        heard: list[str] = []
        overheard: list[Received[object]] = []
        await other.on(Vault.whispered, heard.append).confirmed()
        await third.on("vault.*", overheard.append).confirmed()
        await one.emit(Vault.whispered, "psst")
        await eventually(lambda: heard == ["psst"])
        await broker.emit(Vault.noticed, "last")
        await eventually(lambda: overheard)
        assert [event.name for event in overheard] == ["vault.noticed"]


async def test_what_a_handler_emits_to_its_caller_is_withheld_as_well(scene: Scene) -> None:
    heard: list[Received[object]] = []
    await scene.guest.on("vault.*", heard.append).confirmed()
    await scene.guest.call(Vault.tell_me, "secret")
    late: list[Received[object]] = []
    await scene.guest.on("vault.**", late.append).confirmed()  # nor is it kept for a later subscription
    await scene.broker.emit(Vault.noticed, "last")
    await eventually(lambda: heard and late)
    assert {event.name for event in (*heard, *late)} == {"vault.noticed"}
    told: list[str] = []
    await scene.admin.on(Vault.unlocked, told.append).confirmed()
    await scene.admin.call(Vault.tell_me, "secret")
    await eventually(lambda: told == ["secret"])


async def test_an_override_changes_nothing_about_the_right(scene: Scene) -> None:
    raw = await scene.raw()
    with scene.broker.override(Vault.unlock, lambda _: "fake"):
        got = await sent_to(raw, 1, [2, 1, "vault.unlock", payload("front")])
    assert got[0][:3] == [4, 1, "not_allowed"]


async def test_the_same_memory_and_who_started_the_broker_may_do_everything() -> None:
    broker, _ = make_vault()
    async with connect(broker) as bus:
        assert await bus.call(Vault.unlock, "front") == "open"
        assert broker.sessions[0].may(Vault.unlock)
        assert broker.sessions[0].rights == EVERYTHING


async def test_roles_of_a_client_are_given_to_a_broker_in_this_process_only() -> None:
    with pytest.raises(TypeError, match=r"roles= is for a Broker in this process"):
        async with connect("ws://127.0.0.1:1", roles={"admin"}):
            pass


# What WELCOME tells, and what the client library does with it.


async def test_the_client_library_does_not_send_what_it_has_no_right_to(scene: Scene) -> None:
    with pytest.raises(NotAllowed, match=r"vault\.unlock: the broker gave no right to use it"):
        await scene.guest.call(Vault.unlock, "front")
    with pytest.raises(NotAllowed, match=r"vault\.audit: the broker gave no right to use it"):
        scene.guest.stream(Vault.audit, 3)
    with pytest.raises(NotAllowed, match=r"vault\.ordered: the broker gave no right to publish it"):
        await scene.guest.emit(Vault.ordered, "open it")
    await scene.guest.emit(Vault.knocked, "hello")
    await scene.guest.call(Vault.cellar.open)
    assert await scene.guest.call(Vault.read) == "for everybody"


async def test_welcome_tells_of_rights_only_where_something_is_withheld(scene: Scene) -> None:
    guest = (await scene.raw()).frames[0][1]
    assert set(guest["rights"]["withheld"]) == {
        *("vault.unlock", "vault.audit", "vault.unlocked", "vault.level", "vault.ordered", "vault.whispered")
    }
    auditor = (await scene.raw(frozenset({"auditor"}))).frames[0][1]
    assert "vault.audit" not in auditor["rights"]["withheld"]
    admin = (await scene.raw(frozenset({"admin"}))).frames[0][1]
    assert "rights" not in admin


def test_few_patterns_stand_for_many_names() -> None:
    withheld = ["a.x", "a.b.one", "a.b.two", "a.c.three", "d.e", "d.f.g"]
    others = ["a.y", "a.c.four"]
    patterns = covering(withheld, others)
    assert patterns == ["a.x", "a.b.**", "a.c.three", "d.**"]
    matches = [matcher(pattern) for pattern in patterns]
    assert all(any(fits(name) for fits in matches) for name in withheld)
    assert not any(fits(name) for fits in matches for name in others)


async def test_rights_that_would_fill_welcome_are_left_out_and_kept_all_the_same() -> None:
    make: Any = type
    members = {f"call_{number:03}": Call(None, None, roles={"admin"}) for number in range(400)}
    body = {"__qualname__": "Wide", **members, "free": Call(None, None)}
    wide = make("Wide", (Contract,), body, name=f"w{'i' * 30}de", version="1.0")
    broker: Broker = Broker(wide)

    async def answer() -> None: ...

    for name in (*members, "free"):
        broker.handle(getattr(wide, name))(answer)
    async with connect(broker, roles=set()) as bus:
        await bus.call(wide.free)
        with pytest.raises(NotAllowed, match=r"call_007 needs the role admin"):  # the broker says so
            await bus.call(members["call_007"])


async def test_what_is_not_there_is_not_found_rather_than_withheld(scene: Scene) -> None:
    raw = await scene.raw()
    got = await sent_to(raw, 1, [2, 1, "vault.nothing", payload(None)], [10, 1, "vault.nothing"])
    assert got[0][:3] == [4, 1, "not_found"]
    assert got[1][:3] == [11, 1, "not_found"]


# Principals.


def test_a_principal_is_who_it_is_whatever_it_may() -> None:
    anna = Principal("anna", {"admin"})
    assert anna == Principal("anna")
    assert anna != Principal("bert", {"admin"})
    assert hash(anna) == hash(Principal("anna"))
    assert anna.roles == {"admin"}
    with pytest.raises(TypeError, match=r"the principal 'anna': roles are a set of texts"):
        Principal("anna", "admin")  # type: ignore[arg-type]


@dataclass(frozen=True)
class Account:
    number: int
    roles: Any = None


@pytest.mark.parametrize(
    ("principal", "roles"),
    [
        (Principal("anna", {"admin"}), {"admin"}),
        (Account(1, ["admin", "user"]), {"admin", "user"}),
        (Account(1), set()),
        ("anna", set()),
        (True, set()),
    ],
)
def test_roles_are_those_of_the_attribute(principal: object, roles: set[str]) -> None:
    assert roles_of(principal) == roles


@pytest.mark.parametrize("roles", ["admin", b"admin", 7, [1]])
async def test_a_principal_whose_roles_are_none_is_refused_and_not_let_in_without(
    roles: object, caplog: pytest.LogCaptureFixture
) -> None:
    broker, _ = make_vault()
    async with broker.serve("ws://127.0.0.1:0", authenticate=lambda _: Account(1, roles)) as (endpoint,):
        with pytest.raises(Unauthenticated):
            async with connect(endpoint.url, token="secret-text"):
                pass
    assert "whose roles cannot be read" in caplog.text
    assert "secret-text" not in caplog.text


async def test_authenticate_may_give_a_principal_with_roles() -> None:
    broker, seen = make_vault()
    people = {"a": Principal("anna", {"admin"}), "b": Principal("bert"), "c": "carla"}
    async with broker.serve("ws://127.0.0.1:0", authenticate=lambda token: people.get(token or "")) as (end,):
        async with connect(end.url, token="a") as anna:
            assert await anna.call(Vault.unlock, "front") == "open"
            await anna.call(Vault.read)
        for token in "bc":
            async with connect(end.url, token=token) as other:
                with pytest.raises(NotAllowed):
                    await other.call(Vault.unlock, "front")
    (principal,) = seen.principals
    assert isinstance(principal, Principal)
    assert (principal.name, principal.roles) == ("anna", {"admin"})


@dataclass
class Cut:
    """A client on a WebSocket whose channel the test cuts, and whose token it chooses at each attempt."""

    broker: Broker
    bus: Bus

    async def and_back(self) -> None:
        """Lose the channel and come back."""
        (session,) = self.broker.sessions
        changes: list[str] = []
        stop = self.bus.on_state(lambda change: changes.append(str(change.outcome)))
        session.close_channel("stopping", "the test cuts it")
        await eventually(lambda: "resumed" in changes, f"the resume, after {changes}")
        stop()
        assert self.broker.sessions == [session]


async def test_a_resume_takes_the_roles_of_now() -> None:
    broker, _ = make_vault()
    people = {"t": Principal("anna", {"admin"})}
    async with (
        broker.serve("ws://127.0.0.1:0", authenticate=lambda token: people.get(token or "")) as (endpoint,),
        connect(endpoint.url, token="t") as bus,
    ):
        cut = Cut(broker, bus)
        heard: list[Received[object]] = []
        await bus.on("vault.*", heard.append).confirmed()
        assert await bus.call(Vault.unlock, "front") == "open"
        await broker.emit(Vault.unlocked, "once")
        await eventually(lambda: [event.payload for event in heard] == ["once"])

        people["t"] = Principal("anna")
        await cut.and_back()
        with pytest.raises(NotAllowed):
            await bus.call(Vault.unlock, "front")
        await broker.emit(Vault.unlocked, "twice")
        await broker.emit(Vault.noticed, "seen by all")
        await eventually(lambda: len(heard) == 2)
        assert heard[1].name == "vault.noticed"
        assert broker.sessions[0].principal.roles == set()

        people["t"] = Principal("anna", {"admin"})
        await cut.and_back()
        assert await bus.call(Vault.unlock, "front") == "open"
        await broker.emit(Vault.unlocked, "thrice")
        await eventually(lambda: heard[-1].payload == "thrice")


async def test_a_session_is_not_resumed_by_another_principal_whatever_its_roles() -> None:
    broker, _ = make_vault()
    people = {"t": Principal("anna", {"admin"})}
    async with (
        broker.serve("ws://127.0.0.1:0", authenticate=lambda token: people.get(token or "")) as (end,),
        connect(end.url, token="t") as bus,
    ):
        (session,) = broker.sessions
        people["t"] = Principal("mallory", {"admin"})
        session.close_channel("stopping", "the test cuts it")
        with pytest.raises(Unauthenticated):
            await bus.call(Vault.read)


# Who gives roles on the pipe.


@pytest.mark.parametrize(
    ("role", "roles", "may"),
    [("main", frozenset(), True), ("client", frozenset(), False), ("client", frozenset({"admin"}), True)],
)
def test_on_the_pipe_the_parent_says_who_may_do_what(role: str, roles: frozenset[str], may: bool) -> None:
    rights = of_parent(PeerIdentity(role, roles=roles), Principal("local"))
    assert rights.allow(Vault.unlock) is may
