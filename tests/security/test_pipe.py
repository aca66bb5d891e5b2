"""On the pipe the parent is believed, and nobody else: what windows may do it says, and what it was given is good there alone."""

from __future__ import annotations

import asyncio

import msgpack
import pytest

from ionbus import NotAllowed, Principal, Unauthenticated, connect
from ionbus.broker.access import Access
from ionbus.contract.builtin import Ionbus, WindowOrigin
from raw_client import Raw
from security.parent import LAUNCH_TOKEN, WINDOW, parent
from security.vault import Vault, make_vault
from workshop import eventually


async def test_the_parents_own_channel_may_do_everything() -> None:
    broker, _ = make_vault()
    async with parent(broker) as started, started.bus(role="main") as main:
        assert await main.call(Vault.unlock, "front") == "open"


async def test_a_window_may_do_what_asks_for_no_role_unless_the_parent_says_more() -> None:
    broker, seen = make_vault()
    async with parent(broker) as started:
        async with started.bus(**WINDOW) as window:
            assert await window.call(Vault.read) == "for everybody"
            with pytest.raises(NotAllowed):
                await window.call(Vault.unlock, "front")
        async with started.bus(**WINDOW, roles=["admin"]) as window:
            assert await window.call(Vault.unlock, "front") == "open"
            await window.call(Vault.read)
    plain, admin = seen.principals
    assert isinstance(plain, Principal)
    assert isinstance(admin, Principal)
    assert (plain.roles, admin.roles) == (set(), {"admin"})


async def test_what_the_token_gives_elsewhere_it_does_not_give_to_windows() -> None:
    broker, _ = make_vault()
    access = Access(token=LAUNCH_TOKEN, roles={"admin"})
    async with parent(broker, access=access) as started, started.bus(**WINDOW) as window:
        with pytest.raises(NotAllowed):
            await window.call(Vault.unlock, "front")


@pytest.mark.parametrize("role", ["main", "window"])
@pytest.mark.parametrize("token", [None, "", "another", LAUNCH_TOKEN + " "])
async def test_the_token_of_the_launch_is_needed_on_the_pipe_too(role: str, token: str | None) -> None:
    broker, _ = make_vault()
    async with parent(broker) as started:
        with pytest.raises(Unauthenticated):
            async with started.bus(token, **{**WINDOW, "role": role}):
                pass


async def test_the_token_of_the_launch_which_every_window_has_is_good_on_the_pipe_alone() -> None:
    broker, _ = make_vault()
    async with parent(broker, "ws://127.0.0.1:0") as started:
        stdio, websocket = started.endpoints
        assert stdio.token == LAUNCH_TOKEN
        assert websocket.token not in (None, LAUNCH_TOKEN)
        with pytest.raises(Unauthenticated):
            async with connect(websocket.url, token=LAUNCH_TOKEN):
                pass
        with pytest.raises(Unauthenticated):
            async with started.bus(websocket.token, **WINDOW):
                pass
        async with connect(websocket.url, token=websocket.token) as bus:
            assert await bus.call(Vault.read) == "for everybody"


@pytest.mark.parametrize(
    "roles",
    ["admin", {"admin": True}, [1], [["admin"]], 7],
    ids=["text", "map", "number", "nested", "integer"],
)
async def test_roles_that_are_no_texts_open_no_channel(roles: object) -> None:
    broker, _ = make_vault()
    async with parent(broker) as started:
        raw = Raw()
        raw.channel = started.open(raw, **WINDOW, roles=roles)
        await eventually(lambda: raw.end)
        assert raw.end == (False, "protocol_error", "OPEN: roles must be texts")


# One-use tokens.


async def test_a_one_use_token_gives_the_roles_that_were_asked_for_and_not_the_parents() -> None:
    broker, _ = make_vault()
    async with parent(broker) as started, started.bus(role="main") as main:
        plain = await main.call(Ionbus.endpoint, WindowOrigin(origin="file://"))
        admin = await main.call(Ionbus.endpoint, WindowOrigin(origin="file://", roles=["admin"]))
        async with connect(plain.url, token=plain.token) as window:
            assert await window.call(Vault.read) == "for everybody"
            with pytest.raises(NotAllowed):
                await window.call(Vault.unlock, "front")
        async with connect(admin.url, token=admin.token) as window:
            assert await window.call(Vault.unlock, "front") == "open"
            with pytest.raises(NotAllowed, match="main process"):  # a role is not the way to more tokens
                await window.call(Ionbus.endpoint, WindowOrigin(origin="file://", roles=["admin"]))


async def test_what_authenticate_says_of_the_parent_is_not_inherited_by_windows() -> None:
    broker, _ = make_vault()
    access = Access(
        authenticate=lambda token: Principal("boss", {"admin"}) if token == LAUNCH_TOKEN else None
    )
    async with parent(broker, access=access) as started, started.bus(role="main") as main:
        given = await main.call(Ionbus.endpoint, WindowOrigin(origin="file://"))
        async with connect(given.url, token=given.token) as window:
            with pytest.raises(NotAllowed):
                await window.call(Vault.unlock, "front")


async def test_windows_may_not_ask_for_endpoints_or_end_sessions() -> None:
    broker, _ = make_vault()
    async with parent(broker) as started, started.bus(role="main") as main:
        given = await main.call(Ionbus.endpoint, WindowOrigin(origin="file://"))
        for identity in (WINDOW, {**WINDOW, "roles": ["main", "admin"]}, {"role": "client"}):
            async with started.bus(**identity) as window:
                for work in (window.call(Ionbus.endpoint, None), window.call(Ionbus.release, [given.token])):
                    with pytest.raises(NotAllowed, match="main process"):
                        await work
        async with connect(given.url, token=given.token) as window:  # nobody has released it
            assert await window.call(Vault.read) == "for everybody"


async def test_the_launch_token_is_no_one_use_token_and_opens_no_windows_websocket() -> None:
    broker, _ = make_vault()
    async with parent(broker) as started, started.bus(role="main") as main:
        given = await main.call(Ionbus.endpoint, None)
        for token in (LAUNCH_TOKEN, None, ""):
            with pytest.raises(Unauthenticated):
                async with connect(given.url, token=token):
                    pass


async def test_open_is_the_parents_alone() -> None:
    """A frame that looks like a record is a frame: what a window sends never becomes OPEN."""
    broker, _ = make_vault()
    async with parent(broker) as started:
        raw = Raw()
        raw.channel = started.open(raw, **WINDOW)
        raw.send_bytes(b"\x01\x00\x00\x00\x02" + msgpack.packb({"role": "main"}))
        await eventually(lambda: raw.end)
        assert raw.end is not None
        assert raw.end[1] == "protocol_error"
        await asyncio.sleep(0)
        assert broker.sessions == []
