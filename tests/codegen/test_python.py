"""Python from AsyncAPI files: right for mypy and ruff, equal to the file on both sides, and told where it cannot be."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ionbus.codegen import CodegenError, Outputs, apply, plan
from ionbus.codegen.asyncapi import write_asyncapi, write_text
from ionbus.codegen.python import load_python, write_python
from ionbus.codegen.source import load, load_file

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

TYPES: dict[str, Any] = {
    "text": {"type": "string", "minLength": 1, "pattern": "^a"},
    "whole": {"type": "integer", "minimum": 0},
    "wide": {"type": "integer", "format": "int64"},
    "fraction": {"type": "number", "exclusiveMaximum": 1.5},
    "truth": {"type": "boolean", "default": True},
    "binary": {"type": "string", "format": "binary"},
    "at": {"type": "string", "format": "date-time"},
    "day": {"type": "string", "format": "date"},
    "clock": {"type": "string", "format": "time"},
    "lasting": {"type": "string", "format": "duration"},
    "id": {"type": "string", "format": "uuid"},
    "mail": {"type": "string", "format": "email", "description": "Where to\nwrite."},
    "many": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    "distinct": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
    "pair": {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "string"}],
        "minItems": 2,
        "maxItems": 2,
    },
    "by_name": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Level"}},
    "level": {"$ref": "#/components/schemas/Level"},
    "word": {"enum": ["a", 1, True]},
    "nullable": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "class": {"type": "string", "deprecated": True},
    "content-type": {"type": "string"},
    "displayName": {"type": "string"},
    "below": {"type": "array", "items": {"$ref": "#/components/schemas/everything"}, "default": []},
    "pet": {"$ref": "#/components/schemas/Pet"},
}
DOCUMENT: dict[str, Any] = {
    "asyncapi": "3.0.0",
    "info": {"title": "hand.made", "version": "1.2", "description": 'By """hand""".\n\nAnd more.\n'},
    "channels": {
        "hand.made.everything": {
            "messages": {"it": {"payload": {"$ref": "#/components/schemas/everything"}}}
        },
        "hand.made.parts.ask": {
            "messages": {
                "request": {"payload": {"type": "array", "items": {"type": "string", "format": "uuid"}}},
                "answer": {"payload": {"enum": ["yes", "no"]}},
                "lost": {"$ref": "#/components/messages/Lost"},
            }
        },
    },
    "operations": {
        "everything": {
            "action": "send",
            "channel": {"$ref": "#/channels/hand.made.everything"},
            "x-ionbus-delivery": "latest",
            "x-ionbus-key": ["text", "content-type"],
        },
        "ask": {
            "action": "send",
            "channel": {"$ref": "#/channels/hand.made.parts.ask"},
            "messages": [{"$ref": "#/channels/hand.made.parts.ask/messages/request"}],
            "reply": {
                "messages": [
                    {"$ref": "#/channels/hand.made.parts.ask/messages/answer"},
                    {"$ref": "#/channels/hand.made.parts.ask/messages/lost"},
                ]
            },
        },
    },
    "components": {
        "messages": {
            "Lost": {
                "name": "Lost",
                "summary": "It is lost.",
                "x-ionbus-error": "lost",
                "payload": {
                    "type": "object",
                    "properties": {"tried": {"type": "array", "items": {"type": "string"}, "default": []}},
                },
            }
        },
        "schemas": {
            "everything": {
                "type": "object",
                "description": "All that\ncan be said.",
                "properties": TYPES,
                "required": [name for name in TYPES if name not in {"truth", "below"}],
            },
            "Level": {"type": "string", "enum": ["low", "high-level"]},
            "Cat": {"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"]},
            "Dog": {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"]},
            "Pet": {
                "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
                "discriminator": "kind",
            },
        },
    },
}


def _file(document: dict[str, Any], folder: Path, name: str = "made.yaml") -> Path:
    path = folder / name
    path.write_text(write_text(document, path), encoding="utf-8")
    return path


def test_a_file_by_hand_and_its_python_are_the_same_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(DOCUMENT, tmp_path)
    apply(plan([str(path)], Outputs(python=tmp_path / "py", typescript=tmp_path / "ts")))
    monkeypatch.syspath_prepend(str(tmp_path / "py"))
    try:
        (contract,) = load("hand_made")
    finally:
        sys.modules.pop("hand_made", None)
    assert contract.fingerprint == load_file(path).fingerprint
    assert f"fingerprint {contract.fingerprint}." in (tmp_path / "ts" / "hand.made.ts").read_text(
        encoding="utf-8"
    )
    assert contract.members["everything"].key == ("text", "content_type")  # type: ignore[attr-defined]
    lost: Any = contract.errors["lost"]
    assert lost(tried=["a"]).details() == {"tried": ["a"]}


def test_reading_what_was_read_changes_nothing(tmp_path: Path) -> None:
    once = load_file(_file(DOCUMENT, tmp_path))
    assert load_file(_file(write_asyncapi(once), tmp_path, "again.json")) == once
    assert load_python(once).fingerprint == once.fingerprint


def test_a_changed_export_is_read_as_one_by_hand(tmp_path: Path) -> None:
    exported = write_asyncapi(load_file(_file(DOCUMENT, tmp_path)))
    key = next(name for name in exported["components"]["schemas"] if name.lower().startswith("everything"))
    exported["components"]["schemas"][key]["properties"]["text"] = {"type": "integer"}
    other = key.replace("-Input", "-Output")
    exported["components"]["schemas"][other]["properties"]["text"] = {"type": "integer"}
    changed = load_file(_file(exported, tmp_path, "changed.yaml"))
    assert changed.schema.definitions[key]["properties"]["text"]["type"] == "integer"
    assert changed.fingerprint != exported["x-ionbus-fingerprint"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_it_passes_mypy_strict_and_ruff(tmp_path: Path) -> None:
    apply(plan([str(_file(DOCUMENT, tmp_path))], Outputs(python=tmp_path)))
    made = str(tmp_path / "hand_made.py")
    for command in (
        ["mypy", "--strict", "--config-file", "", made],
        ["mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), made],
        ["ruff", "check", "--isolated", made],
        ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), made],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_docs_are_in_the_python(tmp_path: Path) -> None:
    text = write_python(load_file(_file(DOCUMENT, tmp_path)), "Head.")["hand_made.py"]
    assert text.startswith("# Head.\n# ruff: noqa")
    assert 'Field(description="Where to\\nwrite.")' in text
    assert 'class Everything(BaseModel):\n    """All that\n    can be said.\n    """\n' in text
    assert 'class Lost(ContractError):\n    """It is lost."""\n\n    code = "lost"\n' in text


def _with(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    *steps, last = path.split("/")
    part: Any = document
    for step in steps:
        part = part[step]
    part[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "channels/hand.made.everything/messages/it/payload",
            {"$ref": "#/components/schemas/Nowhere"},
            "everything payload: there is no schema 'Nowhere' in components.schemas",
        ),
        ("components/schemas/Every_thing", {"type": "object"}, None),
        (
            "components/schemas/everything/properties/text/type",
            "strng",
            "everything.text: 'strng' is no type; there are",
        ),
        (
            "components/schemas/everything/properties",
            ["text"],
            "everything.properties: an object belongs here",
        ),
        ("components/schemas/everything/not", {"type": "null"}, "Everything: no model can say 'not'"),
        (
            "components/schemas/Everything",
            {"type": "object"},
            "would both be the class Everything; rename one",
        ),
        (
            "operations/everything/x-ionbus-key",
            "nothing",
            "key='nothing' is no field of Everything, which has at,",
        ),
        ("channels/hand.made.everything/address", "hand.made.class", "'class' is a word of Python's own"),
        (
            "components/messages/Lost/x-ionbus-error",
            "not_found",
            "the code 'not_found' belongs to an error of ionbus",
        ),
    ],
)
def test_what_python_cannot_say_is_refused(
    path: str, value: Any, message: str | None, tmp_path: Path
) -> None:
    file = _file(_with(path, value), tmp_path)
    if message is None:
        load_file(file)
        return
    with pytest.raises(CodegenError, match=message) as caught:
        load_file(file)
    assert str(caught.value).startswith(f"{file}: ")


HOSTILE = '"""\nimport os; os.environ["HURT"] = "1"\n"""'


def test_a_file_cannot_make_code_of_ours_run_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = {
        "type": "object",
        "description": HOSTILE,
        "title": HOSTILE,
        "properties": {
            HOSTILE: {
                "type": "string",
                "default": HOSTILE,
                "pattern": "a",
                "customTypePath": "antigravity.fly",
            },
            "a": {"enum": [HOSTILE]},
        },
        "customBasePath": "antigravity.Base",
        "x-python-import": {"module": "antigravity", "name": "fly"},
    }
    monkeypatch.delenv("HURT", raising=False)
    load_file(
        _file(_with("components/schemas/everything", hostile) | {"operations": _plain_operations()}, tmp_path)
    )
    assert "HURT" not in os.environ
    assert "antigravity" not in sys.modules


def _plain_operations() -> dict[str, Any]:
    operations = copy.deepcopy(DOCUMENT["operations"])
    for fact in ("x-ionbus-delivery", "x-ionbus-key"):
        del operations["everything"][fact]
    return dict(operations)


def test_objects_without_a_name_are_called_after_their_member(tmp_path: Path) -> None:
    shape = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    file = _file(_with("channels/hand.made.parts.ask/messages/answer/payload", shape), tmp_path)
    assert "class PartsAskResponse(BaseModel):\n    a: int\n" in write_python(load_file(file))["hand_made.py"]


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        (
            "datamodel_code_generator",
            "made.json",
            r"needs datamodel-code-generator: pip install 'ionbus\[codegen\]'",
        ),
        ("yaml", "made.yaml", r"YAML needs PyYAML: pip install 'ionbus\[codegen\]', or name a .json file"),
    ],
)
def test_an_extra_that_is_missing_is_named(
    module: str, name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _file(DOCUMENT, tmp_path, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CodegenError, match=message):
        load_file(file)


def test_a_field_of_one_direction_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from ionbus.contract.description import describe_contract

    monkeypatch.syspath_prepend(str(HERE))
    (showcase,) = load("showcase")
    with pytest.raises(CodegenError, match=r"^Circle: area is in one direction only"):
        write_python(describe_contract(showcase))
