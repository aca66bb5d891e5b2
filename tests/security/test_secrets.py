"""Secrets are nowhere to be read: not in logs at the loudest, not in reprs, errors, URLs or the environment of children."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from chores import Chores
from ionbus import (
    Broker,
    Bus,
    Call,
    Contract,
    InternalError,
    IonbusError,
    Principal,
    Unauthenticated,
    connect,
)
from ionbus.broker.access import Access
from ionbus.channels.base import Opened
from ionbus.channels.memory import MemoryListener
from ionbus.channels.supervisor import LaunchedBroker
from ionbus.contract.builtin import Ionbus, WindowEndpoint, WindowOrigin
from ionbus.errors import printable
from ionbus.session.acceptor import Hello
from raw_client import Raw, hello
from security.parent import LAUNCH_TOKEN, parent
from security.vault import Vault, make_vault
from workshop import eventually, opened_bus

USERS_TOKEN = "users-own-token-0123456789abcdef"


class Minted:
    """Every secret that was made while a test ran: tokens as text, secrets of sessions as bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tokens: list[str] = [USERS_TOKEN, LAUNCH_TOKEN]
        self.secrets: list[bytes] = []
        make_bytes, make_text = secrets.token_bytes, secrets.token_urlsafe

        def token_bytes(size: int | None = None) -> bytes:
            made = make_bytes(size)
            if size == 32:  # 16 bytes are an id, which is no secret
                self.secrets.append(made)
            return made

        def token_urlsafe(size: int | None = None) -> str:
            made = make_text(size)
            self.tokens.append(made)
            return made

        monkeypatch.setattr(secrets, "token_bytes", token_bytes)
        monkeypatch.setattr(secrets, "token_urlsafe", token_urlsafe)

    def in_text(self, text: str) -> list[str]:
        """Those of which more than a fifth is in a text, in whatever spelling."""
        spellings = list(self.tokens)
        for secret in self.secrets:
            encoded = base64.urlsafe_b64encode(secret).decode()
            spellings += [secret.hex(), repr(secret)[2:-1], encoded, base64.b64encode(secret).decode()]
        return [each for each in spellings if each in text or any(part in text for part in _parts(each))]


def _parts(spelling: str) -> list[str]:
    """Pieces of a spelling that do not stand in a text by chance."""
    return [spelling[start : start + 14] for start in range(0, len(spelling) - 14, 7)]


@pytest.fixture
async def loud(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Minted]:
    """All logging at DEBUG; asyncio tells of every callback that it runs, with its arguments."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    monkeypatch.setattr(loop, "slow_callback_duration", 0.0)
    yield Minted(monkeypatch)
    loop.set_debug(False)


def check(minted: Minted, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    out, err = capfd.readouterr()
    formatter = logging.Formatter("%(levelname)s %(name)s %(message)s")
    text = out + err + caplog.text + "\n".join(formatter.format(record) for record in caplog.records)
    assert "Executing <" in text  # asyncio was as loud as it gets
    assert len(minted.secrets) >= 4
    assert minted.in_text(text) == []


async def cut_and_back(broker: Broker, bus: Bus) -> None:
    changes: list[str] = []
    bus.on_state(lambda change: changes.append(str(change.outcome)))
    for session in broker.sessions:
        session.close_channel("stopping", "the test cuts it")
    await eventually(lambda: "resumed" in changes, "the resume")


async def test_the_loudest_log_of_a_broker_and_its_clients_holds_none(
    loud: Minted, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    broker, _ = make_vault()
    async with broker.serve("ws://127.0.0.1:0", tokens={USERS_TOKEN: {"admin"}}) as (endpoint,):
        async with connect(endpoint.url, token=USERS_TOKEN) as bus:
            assert await bus.call(Vault.unlock, "front") == "open"
            await cut_and_back(broker, bus)
            assert await bus.call(Vault.read) == "for everybody"
        for wrong in (USERS_TOKEN.upper(), None):
            with pytest.raises(Unauthenticated):
                async with connect(endpoint.url, token=wrong):
                    pass
    check(loud, caplog, capfd)


async def test_neither_does_that_of_an_authenticate_that_fails(
    loud: Minted, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def fails(token: str | None) -> Principal:
        await asyncio.sleep(0)
        raise RuntimeError("the directory is down")

    broker, _ = make_vault()
    async with broker.serve("ws://127.0.0.1:0", authenticate=fails) as (endpoint,):
        for _ in range(2):
            with pytest.raises(Unauthenticated) as refused:
                async with connect(endpoint.url, token=USERS_TOKEN):
                    pass
            assert "directory" not in str(refused.value)
    assert "the directory is down" in caplog.text
    loud.secrets *= 2  # no session was opened: there are few
    check(loud, caplog, capfd)


async def test_neither_does_that_of_a_parent_its_windows_and_their_one_use_tokens(
    loud: Minted, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    broker, _ = make_vault()
    async with parent(broker, "ws://127.0.0.1:0") as started, started.bus(role="main") as main:
        given = await main.call(Ionbus.endpoint, WindowOrigin(origin="file://"))
        async with connect(given.url, token=given.token) as window:
            assert await window.call(Vault.read) == "for everybody"
            await cut_and_back(broker, main)
            await main.call(Ionbus.release, [given.token])
            with suppress(IonbusError):
                await window.call(Vault.read)
        assert given.token in loud.tokens
    check(loud, caplog, capfd)


async def test_neither_does_that_of_clients_that_break_the_rules(
    loud: Minted, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    broker, _ = make_vault()
    async with broker.opened():
        accept = broker._live().accept(lambda token: token == USERS_TOKEN or None)
        for wrong in (
            {"token": USERS_TOKEN, "credit": "much"},
            {"token": USERS_TOKEN, "received": 5},
            {"token": USERS_TOKEN, "contracts": [["vault", "9.0", "f" * 32]]},
            {"token": USERS_TOKEN.encode()},
            {"token": USERS_TOKEN, "protocol": 0},
            {"token": USERS_TOKEN},
        ):
            raw = Raw()
            raw.channel = (await MemoryListener(accept).open(raw)).channel
            loud.secrets.append(secrets.token_bytes(32))
            raw.send(1, hello(**{"session": secrets.token_bytes(16), "secret": loud.secrets[-1], **wrong}))
            raw.send_bytes(b"\xc1" + USERS_TOKEN.encode())
            await eventually(partial(getattr, raw, "end"))
    check(loud, caplog, capfd)


def test_the_search_finds_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    minted = Minted(monkeypatch)
    token, secret = secrets.token_urlsafe(32), secrets.token_bytes(32)
    for leak in (
        f"token {token}",
        token[3:30],
        repr(secret),
        secret.hex()[8:40],
        f"<Hello secret={secret!r}>",
    ):
        assert minted.in_text(f"DEBUG ionbus something {leak} and more")
    assert not minted.in_text("DEBUG ionbus something else")


# Beside the log.


async def test_the_token_of_a_launch_is_in_no_argument_and_in_no_child_of_the_broker() -> None:
    command = [sys.executable, str(Path(__file__).parents[1] / "chores.py")]
    async with LaunchedBroker(command) as child, opened_bus(child.open) as bus:
        token = (await child.open(Raw())).token
        assert token is not None
        assert len(token) >= 43
        assert token not in _of_process(child.pid, "cmdline")
        assert await bus.call(Chores.environment) == {}  # nor does what it starts inherit it


def _of_process(pid: int | None, what: str) -> str:
    return Path(f"/proc/{pid}/{what}").read_text(errors="replace")


# Reprs and errors.


def test_reprs_hold_none() -> None:
    async def nowhere(receiver: object) -> Opened:
        raise NotImplementedError

    secret = "s3cret" * 6
    raw = secret.encode()[:32]
    told = [
        Hello("agent", b"i" * 16, raw, 1, 0, None, (b"f" * 16, raw), secret, (1, 1), None, []),
        Opened(Raw(), secret),  # type: ignore[arg-type]
        WindowEndpoint(url="ws://127.0.0.1:1", token=secret),
        Access(token=secret, tokens={f"{secret}2": {"admin"}}),
        Access(token=secret).from_anywhere()[0],
    ]
    for each in told:
        assert "s3cret" not in repr(each)
        assert "s3cret" not in str(each)


# What the other side says does not write the log.


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünicode", "plain ünicode"),
        ("a\nERROR forged\r\n", r"a\nERROR forged\r\n"),
        ("\x1b[2J\x07\x00\u202e", r"\x1b[2J\x07\x00\u202e"),
        ("x" * 600, "x" * 500 + "…"),
    ],
)
def test_what_a_peer_says_stands_on_one_line_of_the_log(text: str, shown: str) -> None:
    assert printable(text) == shown


async def test_a_peer_cannot_forge_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    broker, _ = make_vault()
    async with broker.opened():
        raw = Raw()
        raw.channel = (await MemoryListener(broker.accept_local()).open(raw)).channel
        raw.channel.max_frame_bytes = 1 << 20
        raw.send(1, hello())
        await eventually(lambda: raw.frames)
        raw.send(0, 1, 0, [10, 1, "vault.noticed"])
        await eventually(lambda: len(raw.frames) == 2)
        raw.send(0, 2, 1, [14, 1, "bad\ncode", "ok\nCRITICAL root forged " + "x" * 10_000])
        await eventually(lambda: "has refused an event" in caplog.text)
    (record,) = [record for record in caplog.records if "has refused an event" in record.message]
    assert "\n" not in record.message
    assert len(record.message) < 700


# Nothing of what went wrong inside leaves the process.


class Fragile(Contract, name="fragile", version="1.0"):
    """Whose handlers fail."""

    ask = Call(str, str)


async def test_no_detail_of_an_internal_error_reaches_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    broker: Broker = Broker(Fragile)

    @broker.handle(Fragile.ask)
    async def ask(what: str) -> str:
        if what == "raise":
            raise RuntimeError("password hunter2 at /home/me/app.py")
        if what == "cause":
            try:
                raise KeyError("hunter2")
            except KeyError as error:
                raise LookupError("hunter2 again") from error
        if what == "group":
            raise ExceptionGroup("hunter2", [ValueError("hunter2")])
        if what == "exit":
            raise SystemExit("hunter2")
        return ["hunter2"]  # type: ignore[return-value] # what its contract does not say

    async with connect(broker) as bus:
        for what in ("raise", "cause", "group", "exit", "type"):
            with pytest.raises(InternalError) as failed:
                await bus.call(Fragile.ask, what)
            told = f"{failed.value} {failed.value.details()} {failed.value.__cause__}"
            assert "hunter2" not in told
            assert "/home" not in told
            assert failed.value.incident_id in caplog.text
    assert "hunter2" in caplog.text
