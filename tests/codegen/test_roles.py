"""Roles go wherever the contract goes: into documents and back, into generated Python, and into what people read."""

import copy
from pathlib import Path
from typing import Any

import pytest

from ionbus import Call, Contract, Event, Stream
from ionbus.codegen import CodegenError
from ionbus.codegen.asyncapi import parse, read_asyncapi, write_asyncapi, write_text
from ionbus.codegen.markdown import write_markdown
from ionbus.codegen.python import load_python, write_python
from ionbus.codegen.reader import read_contract
from ionbus.codegen.typescript import write_typescript
from ionbus.contract.description import ContractDescription, describe_contract


class Plant(Contract, name="plant", version="1.0"):
    """Runs a plant."""

    stop = Call(None, None, roles={"operator", "admin"}, doc="Stops it.")
    trace = Stream(None, str, roles={"admin"}, deprecated="Use logs.")
    alarm = Event(str, source="any", roles={"admin"})
    status = Call(None, str)


PLANT = describe_contract(Plant.__contract__)


def roles(contract: ContractDescription) -> dict[str, tuple[str, ...]]:
    return {member.name: member.roles for member in contract.members}


ROLES = {"stop": ("admin", "operator"), "trace": ("admin",), "alarm": ("admin",), "status": ()}


def test_they_come_back_from_a_document(tmp_path: Path) -> None:
    assert roles(PLANT) == ROLES
    document = write_asyncapi(PLANT)
    assert document["operations"]["plant.stop"]["x-ionbus-roles"] == ["admin", "operator"]
    assert "x-ionbus-roles" not in document["operations"]["plant.status"]
    file = tmp_path / "plant.yaml"
    file.write_text(write_text(document, file), encoding="utf-8")
    again = read_asyncapi(parse(file), "plant.yaml")
    assert again == PLANT
    assert again.fingerprint == PLANT.fingerprint


def test_they_stand_in_the_generated_python_and_mean_the_same() -> None:
    (text,) = write_python(PLANT).values()
    assert 'roles={"admin", "operator"}' in text
    assert roles(load_python(PLANT)) == ROLES


def test_people_can_read_them() -> None:
    model = read_contract(PLANT)
    (page,) = write_markdown(model, PLANT, "made").values()
    assert (
        "Stops it.\n\nServed by the broker. Time-out: 30 s.\n\nOnly for the roles `admin` and `operator`."
        in page
    )
    assert page.count("Only for the role `admin`.") == 2
    members = write_typescript(model, "made")["plant.members.ts"]
    assert (
        "/**\n * Stops it.\n * Only for the roles `admin` and `operator`.\n */\nexport const stop" in members
    )
    assert "/**\n * Only for the role `admin`.\n * @deprecated Use logs.\n */\nexport const trace" in members
    assert members.count("Only for") == 3


@pytest.mark.parametrize(
    ("operation", "given", "message"),
    [
        ("plant.stop", "admin", r"operations\.plant\.stop: x-ionbus-roles: roles='admin' is no set of roles"),
        ("plant.stop", [], r"x-ionbus-roles: roles= is empty"),
        ("plant.stop", ["a b"], r"x-ionbus-roles: roles= names 'a b'"),
        (
            "plant.alarm.send",
            ["other"],
            r"plant\.alarm\.send and .*they are of one event, so that both have the same",
        ),
        ("plant.alarm.send", None, r"they are of one event, so that both have the same x-ionbus-roles"),
    ],
)
def test_a_document_that_is_wrong_about_them_is_refused(operation: str, given: Any, message: str) -> None:
    document = copy.deepcopy(write_asyncapi(PLANT))
    document["operations"][operation]["x-ionbus-roles"] = given
    with pytest.raises(CodegenError, match=message):
        read_asyncapi(document, "plant.yaml")


def test_what_the_client_serves_has_none_in_a_document_either() -> None:
    document = copy.deepcopy(write_asyncapi(PLANT))
    document["operations"]["plant.stop"]["action"] = "send"
    with pytest.raises(CodegenError, match="what the client serves only the broker asks for"):
        read_asyncapi(document, "plant.yaml")
