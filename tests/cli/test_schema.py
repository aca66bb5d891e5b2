"""`ionbus schema diff`, `lint` and `dump`, as CI uses them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel, ConfigDict, Field

from ionbus import Call, Contract, Event, Stream
from ionbus.cli import main
from ionbus.codegen.asyncapi import write_asyncapi
from ionbus.contract.description import describe_contract
from ionbus.contract.fingerprint import describe
from ionbus.contract.lint import Pain, lint

PAGE = Path(__file__).resolve().parents[2] / "docs/evolution.md"

OLD = """
from pydantic import BaseModel
from ionbus import Call, Contract, Event

class Flow(BaseModel):
    name: str

class Progress(BaseModel):
    percent: float

class Conductor(Contract, name="conductor", version="1.0"):
    execute = Call(Flow, None)
    progress = Event(Progress)
"""
COMPATIBLE = OLD.replace("name: str", "name: str\n    retries: int = 0").replace('"1.0"', '"1.1"')
BREAKING = COMPATIBLE.replace("percent: float", "percent: float | None").replace(
    "name: str", "name: str\n    owner: str"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in {"evolved_1": OLD, "evolved_2": COMPATIBLE, "evolved_3": BREAKING}.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def ionbus(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["schema", *arguments])


@pytest.mark.usefixtures("folder")
def test_diff_of_a_compatible_change_passes() -> None:
    done = ionbus("diff", "evolved_1", "evolved_2:Conductor")
    assert done.exit_code == 0
    assert done.output == (
        "compatible  conductor.execute request.retries: field added, optional [clients send]\n"
    )
    assert ionbus("diff", "evolved_1", "evolved_1").output == "no changes\n"


@pytest.mark.usefixtures("folder")
def test_diff_of_a_breaking_change_fails_and_names_it() -> None:
    done = ionbus("diff", "evolved_1", "evolved_3")
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        "breaking    conductor.execute request.owner: field added, required [clients send]",
        "compatible  conductor.execute request.retries: field added, optional [clients send]",
        "breaking    conductor.progress payload.percent: union member added (null) [the broker sends]",
    ]
    told = json.loads(ionbus("diff", "evolved_1", "evolved_3", "--json").output)
    assert [(change["path"], change["breaking"]) for change in told["changes"]] == [
        ("request.owner", True),
        ("request.retries", False),
        ("payload.percent", True),
    ]


def test_a_dump_stands_for_the_contract_that_it_was_made_of(folder: Path) -> None:
    dumped = ionbus("dump", "evolved_1")
    (folder / "contracts.json").write_text(dumped.output)
    assert ionbus("diff", "contracts.json", "evolved_1").output == "no changes\n"
    assert ionbus("diff", "contracts.json", "evolved_3").exit_code == 1
    assert ionbus("dump", "contracts.json").output == dumped.output


def test_an_asyncapi_document_is_a_source_too(folder: Path) -> None:
    document = write_asyncapi(describe_contract(Fine.__contract__))
    (folder / "fine.asyncapi.json").write_text(json.dumps(document))
    (folder / "fine.json").write_text(ionbus("dump", "fine.asyncapi.json").output)
    assert ionbus("diff", "fine.json", "fine.asyncapi.json").output == "no changes\n"
    assert json.loads((folder / "fine.json").read_text())["contracts"][0]["version"] == "1.0"


def test_contracts_that_come_and_go_are_named(folder: Path) -> None:
    other = OLD + '\nclass Other(Contract, name="other"):\n    tick = Event(None)\n'
    (folder / "evolved_4.py").write_text(other)
    gone = ionbus("diff", "evolved_4", "evolved_1")
    assert (gone.exit_code, gone.output) == (1, "breaking    other: the contract is removed\n")
    come = ionbus("diff", "evolved_1", "evolved_4")
    assert (come.exit_code, come.output) == (0, "compatible  other: the contract is added\n")


def test_a_wrong_source_is_an_error_that_says_what_it_is(folder: Path) -> None:
    (folder / "wrong.json").write_text('{"contracts": [3]}')
    assert "schema dump` did not write this" in ionbus("diff", "wrong.json", "evolved_1").output
    assert "missing.json" in ionbus("lint", "missing.json").output
    assert "no module 'evolved_9'" in ionbus("dump", "evolved_9").output


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    color: Literal["red", "green"]


class Plus(BaseModel):
    left: Plus | Minus | int


class Minus(BaseModel):
    right: Plus | Minus | int


class Painful(BaseModel):
    text: str
    texts: list[Annotated[str, Field(max_length=9)]]
    table: dict[str, Any]
    userId: int  # noqa: N815
    user_id: int
    source: str = Field(alias="from", max_length=9)
    closed: Closed | None
    sum: Plus | Minus


class Hurts(Contract, name="hurts"):
    send = Call(Painful, Closed)
    send_again = Call(Painful, None)
    shout = Event(str)


class Tree(BaseModel):
    name: Annotated[str, Field(max_length=10)]
    kind: Literal["leaf", "branch"]
    children: Annotated[list[Tree], Field(max_length=3)]


class Add(BaseModel):
    kind: Literal["add"]
    left: Sum


class Negate(BaseModel):
    kind: Literal["negate"]
    right: Sum


Sum = Annotated[Add | Negate, Field(discriminator="kind")]


class Fine(Contract, name="fine"):
    send = Call(Tree, None)
    calculate = Call(Negate, None)
    grow = Event(Tree, source="client")
    data = Stream(None, bytes)


def test_what_hurts_is_found_with_its_place_and_remedy() -> None:
    findings = lint(describe(Hurts.__contract__))
    assert {(finding.pain, finding.place) for finding in findings} == {
        (Pain.UNBOUNDED_STRING, "hurts.send request.text"),
        (Pain.UNBOUNDED_LIST, "hurts.send request.texts"),
        (Pain.UNBOUNDED_LIST, "hurts.send request.table"),
        (Pain.UNTYPED, "hurts.send request.table{}"),
        (Pain.NAME_COLLISION, "hurts.send request.user_id"),
        (Pain.RESERVED_NAME, "hurts.send request.from"),
        (Pain.FORBIDS_EXTRAS, "hurts.send request.closed"),
        (Pain.FORBIDS_EXTRAS, "hurts.send response"),
        (Pain.CLOSED_ENUM, "hurts.send response.color"),
        (Pain.TANGLED_UNION, "hurts.send request.sum"),
        (Pain.TANGLED_UNION, "hurts.send request.sum.left"),
        (Pain.TANGLED_UNION, "hurts.send request.sum.left.right"),
        (Pain.BARE_PAYLOAD, "hurts.shout payload"),
    }
    assert str(findings[-1]) == (
        "hurts.shout payload: bare-payload: a bare str cannot get a field; make it a model with one field"
    )


def test_each_kind_of_finding_is_found_and_explained() -> None:
    assert {finding.pain for finding in lint(describe(Hurts.__contract__))} == set(Pain)
    section = PAGE.read_text(encoding="utf-8").partition("## What will hurt later")[2]
    assert re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE) == [str(pain) for pain in Pain]


def test_what_is_well_made_has_no_findings() -> None:
    assert [
        str(finding) for finding in lint(describe(Fine.__contract__)) if finding.pain != "closed-enum"
    ] == []


@pytest.mark.usefixtures("folder")
def test_lint_exits_with_1_until_what_it_finds_is_accepted() -> None:
    done = ionbus("lint", "evolved_1")
    assert done.exit_code == 1
    assert done.stdout == (
        "conductor.execute request.name: unbounded-string: clients may send a text of any length; "
        "bound it: Annotated[str, Field(max_length=…)]\n"
    )
    [told] = json.loads(ionbus("lint", "evolved_1", "--json").stdout)
    assert told["finding"] == "unbounded-string"
    accepted = ionbus("lint", "evolved_1", "--ignore", "unbounded-string")
    assert (accepted.exit_code, accepted.stdout) == (0, "")
