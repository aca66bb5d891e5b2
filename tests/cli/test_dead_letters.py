"""`ionbus dead-letters`, beside a broker that this test serves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

from ionbus import Broker
from ionbus.cli import main
from ionbus.wire import values
from program import ionbus
from workshop import Workshop, make_broker


@dataclass
class Served:
    broker: Broker[Any]
    admin: dict[str, str]
    user: dict[str, str]

    def keep(self, name: str, payload: object) -> None:
        """A dead letter, as if a client had published an event that is not valid."""
        data = bytes(values.encode(payload))
        error = ValueError("no\x1b[2J")
        self.broker.dead_letters.add("invalid", error, "event", name, data, session="s1", principal=None)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    broker = make_broker()
    async with broker.serve("ws://127.0.0.1:0", tokens={"a": {"admin"}, "u": set()}, grace=1.0) as (
        endpoint,
    ):
        url = endpoint.url
        yield Served(
            broker, {"IONBUS_URL": url, "IONBUS_TOKEN": "a"}, {"IONBUS_URL": url, "IONBUS_TOKEN": "u"}
        )


async def test_they_are_listed_for_people_and_for_programs(served: Served) -> None:
    done = await ionbus("dead-letters", "list", **served.admin)
    assert (done.status, done.out, done.err.strip()) == (0, "", "no dead letters")
    served.keep("workshop.said", 5)
    served.keep("workshop.shouted", 5)
    done = await ionbus("dead-letters", "list", "--name", "workshop.said", **served.admin)
    assert done.out.count("\n") == 1
    assert "invalid workshop.said: ValueError: no\\x1b[2J" in done.out
    done = await ionbus("dead-letters", "list", "--json", **served.admin)
    assert [line["id"] for line in done.lines] == [1, 2]


async def test_one_is_shown_with_its_payload(served: Served) -> None:
    served.keep("workshop.said", {"any": ["thing"]})
    done = await ionbus("dead-letters", "show", "1", **served.admin)
    assert json.loads(done.out)["payload"] == {"any": ["thing"]}
    assert json.loads(done.out)["name"] == "workshop.said"


async def test_those_that_are_sent_again_are_gone(served: Served) -> None:
    served.keep("workshop.shouted", "hello")
    served.keep("workshop.shouted", 5)
    done = await ionbus("dead-letters", "resend", "1", "2", **served.admin)
    assert (done.status, done.out) == (1, "1 sent again\n")
    assert "come to nothing again" in done.err
    assert [letter.id for letter in served.broker.dead_letters] == [2]


async def test_they_are_dropped(served: Served) -> None:
    for _ in range(3):
        served.keep(Workshop.said.name, 5)
    assert (await ionbus("dead-letters", "drop", "1", "7", **served.admin)).out == "1 dropped\n"
    assert (await ionbus("dead-letters", "drop", "--all", "--json", **served.admin)).lines == [{"dropped": 2}]
    assert len(served.broker.dead_letters) == 0


async def test_without_the_role_nothing_is_told(served: Served) -> None:
    done = await ionbus("dead-letters", "list", **served.user)
    assert (done.status, done.out) == (1, "")
    assert "needs the role admin" in done.err


@pytest.mark.parametrize(
    "arguments", [["drop"], ["drop", "1", "--all"], ["show"], ["resend"], ["list", "--name", "a.**.b"]]
)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, ["dead-letters", *arguments, "--url", "ws://127.0.0.1:1"]).exit_code == 2
