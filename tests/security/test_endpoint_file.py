"""The endpoint file: a broker's own user finds it by the file, and nobody else does; a client trusts no other."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from ionbus import Broker, CallTimeout, ConnectionLost, NotAllowed, Unauthenticated, connect
from ionbus.endpoint_file import EndpointFile, read_endpoint_file
from security.vault import Vault, make_vault

HERE = Path(__file__).parent


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def arguments_of(pid: int) -> bytes:
    """What everybody on this machine can read of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


# What the broker writes.


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
async def test_it_is_its_users_alone_from_its_first_byte(tmp_path: Path, umask: int) -> None:
    broker, _ = make_vault()
    file = tmp_path / "endpoint.json"
    before = os.umask(umask)
    try:
        async with broker.serve("ws://127.0.0.1:0", endpoint_file=file) as (endpoint,):
            assert mode_of(file) == 0o600
            told = json.loads(file.read_text())
            assert told == {"url": endpoint.url, "token": endpoint.token, "pid": os.getpid()}
            assert names_in(tmp_path) == ["endpoint.json"]  # nothing unfinished is left
        assert names_in(tmp_path) == []
    finally:
        os.umask(before)


def test_its_name_never_leads_to_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "endpoint.json"
    seen: list[int] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        assert not file.exists()
        assert json.loads(self.read_text())["token"] == "secret"
        seen.append(mode_of(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    EndpointFile(file).write("ws://127.0.0.1:1", "secret")
    assert seen == [0o600]


def test_a_link_that_somebody_laid_there_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    file = tmp_path / "endpoint.json"
    file.symlink_to(precious)
    made = EndpointFile(file)
    made.write("ws://127.0.0.1:1", "secret")
    assert precious.read_text() == "mine"
    assert not file.is_symlink()
    assert mode_of(file) == 0o600
    made.remove()
    assert names_in(tmp_path) == ["precious"]


def test_a_file_that_is_open_to_all_is_replaced_and_not_written_to(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.json"
    file.write_text("x")
    file.chmod(0o666)
    with file.open() as spy:  # somebody has it open already
        EndpointFile(file).write("ws://127.0.0.1:1", "secret")
        assert mode_of(file) == 0o600
        assert spy.read() == "x"


def test_the_file_of_another_broker_is_left(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.json"
    old, new = EndpointFile(file), EndpointFile(file)
    old.write("ws://127.0.0.1:1", "old")
    new.write("ws://127.0.0.1:2", "new")
    old.remove()
    assert read_endpoint_file(file) == ("ws://127.0.0.1:2", "new")
    new.remove()
    new.remove()
    assert not file.exists()


async def test_where_it_cannot_be_written_nothing_is_served(tmp_path: Path) -> None:
    broker, _ = make_vault()
    for path, why in ((tmp_path / "nowhere" / "endpoint.json", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(OSError, match=f"cannot be written: {why}.*; name a file in a folder") as told:
            async with broker.serve("ws://127.0.0.1:0", endpoint_file=path):
                pass
        assert (told.value.filename, told.value.filename2) == (str(path), None)  # not the unfinished one
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("urls", "options", "kind", "problem"),
    [
        (["stdio:"], {}, ValueError, r"none is served; add ws://"),
        (["ws://127.0.0.1:0"], {"authenticate": lambda _: None}, TypeError, r"have no meaning beside it"),
    ],
)
def test_what_makes_no_sense_with_it_is_refused(
    urls: list[str], options: dict[str, Any], kind: type[Exception], problem: str
) -> None:
    broker: Broker = make_vault()[0]
    with pytest.raises(kind, match=problem):
        broker.serve(*urls, endpoint_file="endpoint.json", **options)


async def test_beside_named_tokens_it_has_one_of_its_own(tmp_path: Path) -> None:
    broker, _ = make_vault()
    file = tmp_path / "endpoint.json"
    async with broker.serve(
        "ws://127.0.0.1:0", tokens={"known": set()}, roles={"admin"}, endpoint_file=file
    ) as (endpoint,):
        _, token = read_endpoint_file(file)
        assert token not in (None, "known")
        async with connect(endpoint.url, token=token) as bus:
            assert await bus.call(Vault.unlock, "front") == "open"
        async with connect(endpoint.url, token="known") as bus:
            with pytest.raises(NotAllowed):
                await bus.call(Vault.unlock, "front")


# What a client trusts.


async def test_a_client_finds_the_broker_by_it_and_finds_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "endpoint.json"
    monkeypatch.delenv("IONBUS_URL", raising=False)
    monkeypatch.setenv("IONBUS_ENDPOINT_FILE", str(file))
    monkeypatch.setenv("IONBUS_TOKEN", "of something else")
    first, second = make_vault()[0], make_vault()[0]
    async with first.serve("ws://127.0.0.1:0", endpoint_file=file):
        bus_of = connect()
        bus = await bus_of.__aenter__()
        assert await bus.call(Vault.read) == "for everybody"
    async with second.serve("ws://127.0.0.1:0", endpoint_file=file):  # another port, another token
        assert await bus.call(Vault.read) == "for everybody"
        await bus_of.__aexit__(None, None, None)


async def test_the_url_of_the_environment_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, _ = make_vault()
    monkeypatch.setenv("IONBUS_ENDPOINT_FILE", str(tmp_path / "nothing"))
    async with broker.serve("ws://127.0.0.1:0") as (endpoint,):
        monkeypatch.setenv("IONBUS_URL", endpoint.url)
        monkeypatch.setenv("IONBUS_TOKEN", endpoint.token or "")
        async with connect() as bus:
            assert await bus.call(Vault.read) == "for everybody"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o602, 0o620, 0o610, 0o777])
def test_a_file_that_others_can_touch_is_refused_and_says_what_to_do(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "endpoint.json"
    EndpointFile(file).write("ws://127.0.0.1:1", "secret")
    file.chmod(mode)
    with pytest.raises(ConnectionLost, match=rf"mode {mode:04o}\).*start the broker anew") as refused:
        read_endpoint_file(file)
    assert "secret" not in str(refused.value).replace("no secret", "")


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "endpoint.json"
    EndpointFile(file).write("ws://evil.example:1", "secret")
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(ConnectionLost, match=rf"belongs to the user with the id {me} and not to you"):
        read_endpoint_file(file)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    real = tmp_path / "endpoint.json"
    EndpointFile(real).write("ws://127.0.0.1:1", "secret")
    (tmp_path / "link").symlink_to(real)
    for name, problem in (
        ("pipe", "no regular file"),
        ("folder", "no regular file"),
        ("link", "symbolic link; name the file itself"),
        ("nothing", "no broker has written its endpoint there"),
        ("endpoint.json/below", "cannot be read"),
    ):
        with pytest.raises(ConnectionLost, match=problem):
            read_endpoint_file(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"token": "x"}',
        '{"url": 7}',
        '{"url": "ws://a", "token": 7}',
        "\udcff",
        "[" * 70_000,
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "endpoint.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    file.chmod(0o600)
    with pytest.raises(ConnectionLost, match="it holds no endpoint"):
        read_endpoint_file(file)


async def test_a_refused_file_is_told_by_connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "endpoint.json"
    EndpointFile(file).write("ws://127.0.0.1:1", "secret")
    file.chmod(0o644)
    monkeypatch.delenv("IONBUS_URL", raising=False)
    monkeypatch.setenv("IONBUS_ENDPOINT_FILE", str(file))
    with pytest.raises(ConnectionLost, match="others may read or write it"):
        async with connect():
            pass


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "stdio:sh -c true", "ws://127.0.0.1:99999", "ws://a@b"]
)
async def test_a_url_in_it_that_is_no_brokers_is_told_with_the_file_and_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    file = tmp_path / "endpoint.json"
    EndpointFile(file).write(url, "secret")
    monkeypatch.delenv("IONBUS_URL", raising=False)
    monkeypatch.setenv("IONBUS_ENDPOINT_FILE", str(file))
    with pytest.raises(ConnectionLost, match=r"endpoint\.json: it holds no endpoint: .*broker"):
        async with connect():
            pass
    assert caplog.text == ""


# As a program.


@pytest.mark.slow
async def test_serve_writes_it_prints_no_token_and_removes_it(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IONBUS_")}
    environment["PYTHONPATH"] = str(HERE.parent)
    serve = [sys.executable, "-m", "ionbus.cli", "serve", "security.vault:make_broker"]
    process = await asyncio.create_subprocess_exec(
        *serve, "--role", "admin", "--endpoint-file", str(file),
        env=environment, cwd=tmp_path, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            line = (await process.stderr.readline()).decode()
            url, token = read_endpoint_file(file)
            assert token is not None
            assert len(token) >= 43  # 256 bits
            assert line == f"ionbus: serving {url}  token in {file}\n"
            assert token.encode() not in arguments_of(process.pid)
            called = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "ionbus.cli", "call", "vault.unlock", '"front"', "--endpoint-file", str(file),
                env=environment, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert (await called.communicate())[0].decode().strip() == '"open"'
            process.send_signal(signal.SIGTERM)
            _, rest = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert token.encode() not in rest
    assert process.returncode == 0
    assert not file.exists()


async def test_a_client_keeps_trying_while_there_is_no_file_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "endpoint.json"
    monkeypatch.delenv("IONBUS_URL", raising=False)
    monkeypatch.setenv("IONBUS_ENDPOINT_FILE", str(file))
    broker, _ = make_vault()
    async with connect(wait=False) as bus:
        with pytest.raises(CallTimeout, match="no broker has written its endpoint there"):
            await bus.call(Vault.read, timeout=0.05)
        async with broker.serve("ws://127.0.0.1:0", endpoint_file=file):
            assert await bus.call(Vault.read) == "for everybody"


async def test_a_wrong_token_in_a_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "endpoint.json"
    monkeypatch.delenv("IONBUS_URL", raising=False)
    monkeypatch.setenv("IONBUS_ENDPOINT_FILE", str(file))
    broker, _ = make_vault()
    async with broker.serve("ws://127.0.0.1:0") as (endpoint,):
        EndpointFile(file).write(endpoint.url, "stale")
        with pytest.raises(Unauthenticated):
            async with connect():
                pass
