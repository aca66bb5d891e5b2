"""The command line, as people and scripts use it."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from chores import Chores
from ionbus import Broker, connect
from ionbus.cli import main
from ionbus.cli.doctor import look
from program import IONBUS, ionbus
from workshop import Bench, eventually, make_broker

TESTS = Path(__file__).parents[1]


@dataclass
class Served:
    broker: Broker[Bench]
    reach: dict[str, str]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    broker = make_broker()
    async with broker.serve("ws://127.0.0.1:0", grace=1.0) as (endpoint,):
        assert endpoint.token is not None
        yield Served(broker, {"IONBUS_URL": endpoint.url, "IONBUS_TOKEN": endpoint.token})


async def test_call_prints_the_result(served: Served) -> None:
    done = await ionbus("call", "workshop.add", '{"left": 1, "right": 2}', **served.reach)
    assert (done.status, done.out.strip()) == (0, "3")
    done = await ionbus("call", "workshop.add", '{"left": 1, "right": 2}', "--json", **served.reach)
    assert done.lines == [3]


async def test_url_and_token_are_options_too(served: Served) -> None:
    url, token = served.reach["IONBUS_URL"], served.reach["IONBUS_TOKEN"]
    done = await ionbus("call", "workshop.add", '{"left": 1, "right": 2}', "--url", url, "--token", token)
    assert done.out.strip() == "3"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["call", "workshop.add", '{"left": 1}'], "invalid_payload"),
        (["call", "workshop.add", '{"left": 2000, "right": 1}'], "too_big"),
        (["call", "workshop.nothing"], "not_found"),
        (["call", "workshop.wait", '"x"', "--timeout", "0.05"], "call_timeout"),
        (["emit", "workshop.noticed", '"x"'], "not_allowed"),
        (["emit", "workshop.said", "1"], "invalid_payload"),
        (["stream", "workshop.add", "1"], "not_found"),
        (["tap", "workshop.nothing"], "not_found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
async def test_a_failure_is_told_with_status_1(served: Served, arguments: list[str], code: str) -> None:
    done = await ionbus(*arguments, **served.reach)
    assert (done.status, done.out) == (1, "") or arguments[0] == "tap"
    assert code in done.err
    assert "Traceback" not in done.err
    as_json = await ionbus(*arguments, "--json", **served.reach)
    assert as_json.status == 1
    assert as_json.lines[0]["error"]["code"] == code


async def test_a_refused_pattern_is_told_once(served: Served) -> None:
    done = await ionbus("tap", "workshop.nothing", **served.reach)
    assert done.err.count("no such event") == 1


async def test_nobody_there_is_told_with_status_1(unused_tcp_port: int) -> None:
    done = await ionbus("call", "workshop.add", "--url", f"ws://127.0.0.1:{unused_tcp_port}")
    assert done.status == 1
    assert str(unused_tcp_port) in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["call"],
        ["call", "workshop.add", "{", "--url", "ws://127.0.0.1:1"],
        ["call", "workshop.add"],
        ["call", "workshop.add", "--url", "http://127.0.0.1:1"],
        ["call", "workshop.add", "--url", "ws://127.0.0.1:1", "--timeout", "nan"],
        ["call", "workshop.add", "[" * 100_000, "--url", "ws://127.0.0.1:1"],
        ["call", "", "--url", "ws://127.0.0.1:1"],
        ["emit", "x" * 300, "--url", "ws://127.0.0.1:1"],
        ["tap", "a.**.b", "--url", "ws://127.0.0.1:1"],
        ["tap", "a.b", "--where", "percent >", "--url", "ws://127.0.0.1:1"],
        ["tap", "a.b", "--every", "0", "--url", "ws://127.0.0.1:1"],
        ["tap", "a.b", "--batch", "0", "1", "--url", "ws://127.0.0.1:1"],
        ["tap", "a.b", "--latest-by", "a..b", "--url", "ws://127.0.0.1:1"],
        ["serve", "chores:broker", "--ws", "127.0.0.1"],
        ["serve", "chores:broker", "--ws", "8765"],
        ["serve", "chores:broker", "--ws", "127.0.0.1:99999"],
        ["serve", "chores:broker", "--grace", "-1"],
        ["serve", "../chores:broker"],
        ["nonsense"],
        ["serve"],
        ["serve", "no-colon"],
        ["codegen", "myapp"],
    ],
    ids=lambda arguments: " ".join(arguments)[:60],
)
def test_wrong_usage_is_status_2(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IONBUS_URL", raising=False)
    assert CliRunner().invoke(main, arguments).exit_code == 2


async def test_emit_publishes(served: Served) -> None:
    assert (await ionbus("emit", "workshop.said", '"hello"', **served.reach)).status == 0
    assert served.broker.state.heard == ["hello"]


async def test_stream_prints_each_item(served: Served) -> None:
    done = await ionbus("stream", "workshop.count", "5", "--json", **served.reach)
    assert done.lines == [0, 1, 2, 3, 4]
    done = await ionbus("stream", "workshop.count", "100000", "--count", "2", "--json", **served.reach)
    assert (done.status, done.lines) == (0, [0, 1])


async def test_tap_prints_what_is_emitted(served: Served) -> None:
    from workshop import Workshop

    tapping = asyncio.create_task(ionbus("tap", "workshop.*", "--count", "2", "--json", **served.reach))
    await eventually(
        lambda: any(session.subscribes("workshop.noticed") for session in served.broker.sessions)
    )
    for text in ("one", "two"):
        await served.broker.emit(Workshop.noticed, text)
    assert (await tapping).lines == [
        {"name": "workshop.noticed", "payload": "one"},
        {"name": "workshop.noticed", "payload": "two"},
    ]


async def test_tap_prints_what_it_asked_for(served: Served) -> None:
    from workshop import Workshop

    options = ["--where", '. in ["two", "four"]', "--distinct", "--batch", "2", "60", "--latest-by", "."]
    asked = ["tap", "workshop.noticed", "--count", "2", "--json", *options]
    tapping = asyncio.create_task(ionbus(*asked, **served.reach))
    await eventually(lambda: any(session.shares_of(Workshop.noticed) for session in served.broker.sessions))
    for text in ("one", "two", "two", "three", "four"):
        await served.broker.emit(Workshop.noticed, text)
    assert [line["payload"] for line in (await tapping).lines] == ["two", "four"]


async def test_tap_says_what_does_not_fit(served: Served) -> None:
    done = await ionbus("tap", "workshop.progress", "--where", "percnt > 3", **served.reach)
    assert done.status == 1
    assert "has no field 'percnt'" in done.err


def test_help_names_every_command() -> None:
    done = CliRunner().invoke(main, ["--help"])
    assert done.exit_code == 0
    for command in ("serve", "codegen", "call", "emit", "tap", "stream", "doctor"):
        assert re.search(rf"^  {command}  ", done.output, re.MULTILINE)
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0
    assert CliRunner().invoke(main, ["--version"]).output.startswith("ionbus, version ")


def test_doctor_says_how_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("IONBUS_ELECTRON", str(tmp_path / "nothing"))
    monkeypatch.chdir(tmp_path)
    missing = {finding.name for finding in look() if finding.found is None}
    assert {"Electron", "Chromium"} <= missing
    assert "Python" not in missing
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert "get it: apt install chromium" in done.output
    lines = CliRunner().invoke(main, ["doctor", "--json"]).output.splitlines()
    assert all(json.loads(line)["remedy"] for line in lines)


# serve


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere:broker", "no module 'nowhere'"),
        ("chores:Chores", "no Broker"),
        ("chores:nothing", "no Broker"),
    ],
)
async def test_serve_says_what_is_wrong_with_its_target(target: str, said: str) -> None:
    done = await ionbus("serve", target, PYTHONPATH=str(TESTS))
    assert done.status == 1
    assert said in done.err


async def test_serve_shows_where_a_lifespan_failed(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(
        "from contextlib import asynccontextmanager\n"
        "from ionbus import Broker\n"
        "@asynccontextmanager\n"
        "async def lifespan(broker):\n"
        "    yield int('no number')\n"
        "broker = Broker(lifespan=lifespan)\n"
    )
    done = await ionbus("serve", "failing:broker", PYTHONPATH=str(tmp_path))
    assert done.status == 1
    assert "failing.py" in done.err
    assert "raised by the broker's lifespan" in done.err


async def test_serve_on_stdio_keeps_the_pipe_even_from_a_module_that_prints(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text("print('import noise', flush=True)\nfrom chores import broker\n")
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{tmp_path}"}
    async with connect(stdio=[*IONBUS, "serve", "noisy:broker"], env=environment) as bus:
        assert await bus.call(Chores.add, [1, 2]) == 3
