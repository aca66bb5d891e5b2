"""Contract -> AsyncAPI -> contract is the identity, with the same fingerprint; and what cannot be read is told."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import AnyUrl, BaseModel, Field, create_model

from ionbus.codegen import CodegenError
from ionbus.codegen.asyncapi import is_written_by_ionbus, parse, read_asyncapi, write_asyncapi, write_text
from ionbus.codegen.reader import read_contract
from ionbus.codegen.source import load, read_document
from ionbus.contract.contract import Call, Contract, ContractError, ContractInfo, Event, Stream
from ionbus.contract.description import ContractDescription, canonical_json, describe_contract
from ionbus.types import Float64Array, Int64, UInt8Array, UInt64


def _through_a_file(contract: ContractDescription, path: Path) -> ContractDescription:
    path.write_text(write_text(write_asyncapi(contract), path), encoding="utf-8")
    document = parse(path)
    again = read_asyncapi(document, str(path))
    assert is_written_by_ionbus(document, again)
    return again


def _check_identity(contract: ContractDescription, directory: Path) -> None:
    for ending in (".yaml", ".json"):
        again = _through_a_file(contract, directory / f"contract{ending}")
        assert again == contract
        assert canonical_json(again.canonical()) == canonical_json(contract.canonical())
        assert again.fingerprint == contract.fingerprint
        assert read_contract(again) == read_contract(contract)


def test_the_showcase_comes_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    (contract,) = load("showcase")
    _check_identity(describe_contract(contract), tmp_path)


# --- Generated contracts ------------------------------------------------------------------------------


class Color(Enum):
    """A colour."""

    RED = "red"
    GREEN = "green"


class Tree(BaseModel):
    children: list["Tree"] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"]


SCALARS: list[Any] = [
    str,
    int,
    float,
    bool,
    bytes,
    None,
    datetime,
    date,
    timedelta,
    Decimal,
    UUID,
    Color,
    Tree,
]
SCALARS += [Literal["a", 1, True], Annotated[Cat | Dog, Field(discriminator="kind")]]
SCALARS += [Any, Int64, UInt64, Float64Array, UInt8Array, Path, AnyUrl, dict[int, str], dict[Color, Tree]]
SCALARS += [Annotated[str, Field(min_length=1, pattern="^a")], Annotated[int, Field(ge=0, lt=10)]]
# What YAML, JSON or our own words could take for something else.
TEXTS = st.one_of(
    st.sampled_from(
        ["", "no", "1.0", "2020-01-01", "~", "null", "a: b", "#", "$ref", "x\n\n  y\n", "é\x85\u2028", "*/"]
    ),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True)
FIELD_NAMES = NAMES | st.sampled_from(
    ["properties", "default", "enum", "discriminator", "title", "required", "on", "ref", "x", "type"]
)


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        inner.map(lambda kind: list[kind]),  # type: ignore[valid-type]
        inner.map(lambda kind: dict[str, kind]),  # type: ignore[valid-type]
        st.tuples(inner, inner).map(lambda kinds: tuple[kinds]),  # type: ignore[valid-type]
        inner.map(lambda kind: kind | None if kind is not None else kind),
        models(inner),
    )


@st.composite
def models(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name in draw(st.lists(FIELD_NAMES, max_size=4, unique=True)):
        kind = draw(inner)
        about: dict[str, Any] = {}
        if draw(st.booleans()):
            about["description"] = draw(TEXTS)
        if draw(st.booleans()):
            about["alias"] = f"{name}-{draw(st.sampled_from(['a', '$ref', 'default']))}"
        if kind is str and draw(st.booleans()):
            fields[name] = (kind, Field(draw(TEXTS), **about))
        elif draw(st.booleans()):
            fields[name] = (kind | None if kind is not None else kind, Field(None, **about))
        else:
            fields[name] = (kind, Field(..., **about))
    number = draw(st.integers(0, 10**9))
    return create_model(f"Model{number}", __doc__=draw(TEXTS), **fields)


PAYLOADS = st.recursive(st.sampled_from(SCALARS), _larger, max_leaves=6)
DEPRECATED = st.booleans() | TEXTS.filter(bool)
ROLES = st.none() | st.sets(st.sampled_from(["admin", "read:all", "no", "1.0"]), min_size=1)


@st.composite
def events(draw: st.DrawFn) -> Event[Any, Any]:
    source: Any = draw(st.sampled_from(["broker", "client", "any"]))
    delivery: Any = draw(st.sampled_from(["session", "volatile", "latest"]))
    payload = draw(PAYLOADS)
    key = None
    if delivery == "latest" and isinstance(payload, type) and issubclass(payload, BaseModel):
        key = tuple(list(payload.model_fields)[:2]) or None
    return Event(
        payload,
        source=source,
        delivery=delivery,
        key=key,
        roles=draw(ROLES),
        doc=draw(TEXTS),
        deprecated=draw(DEPRECATED),
    )


@st.composite
def calls(draw: st.DrawFn, errors: list[type[ContractError]]) -> Any:
    kind: Any = draw(st.sampled_from([Call, Stream]))
    served_by = draw(st.sampled_from(["broker", "client"]))
    return kind(
        draw(PAYLOADS),
        draw(PAYLOADS),
        timeout=draw(st.none() | st.integers(1, 10**7).map(lambda number: number / 1000)),
        raises=draw(st.lists(st.sampled_from(errors), unique=True)),
        served_by=served_by,
        idempotent=draw(st.booleans()),
        roles=draw(ROLES) if served_by == "broker" else None,
        doc=draw(TEXTS),
        deprecated=draw(DEPRECATED),
    )


@st.composite
def contracts(draw: st.DrawFn) -> ContractInfo:
    make: Any = type
    errors: list[type[ContractError]] = [
        make(
            f"Error{index}",
            (ContractError,),
            {"code": f"error{index}", "__doc__": draw(TEXTS), "__annotations__": {"much": draw(PAYLOADS)}},
        )
        for index in range(2)
    ]

    def body(name: str, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {"__qualname__": name, "__doc__": draw(TEXTS)}
        for member in draw(st.lists(NAMES, max_size=3, unique=True)):
            if depth < 2 and draw(st.integers(0, 4)) == 0:
                members[member] = make(member, (Contract,), body(f"{name}.{member}", depth + 1))
            else:
                members[member] = draw(st.one_of(events(), calls(errors)))
        return members

    name = draw(st.sampled_from(["made", "made.v2"]))
    version = draw(st.sampled_from(["1", "1.0", "2.10.3"]))
    contract: ContractInfo = make(
        "Made", (Contract,), body("Made", 0), name=name, version=version
    ).__contract__
    return contract


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
        HealthCheck.filter_too_much,
    ],
)
@given(contract=contracts())
@pytest.mark.filterwarnings("ignore:Field name")
def test_any_contract_comes_back_as_it_was(
    contract: ContractInfo, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    _check_identity(describe_contract(contract), tmp_path)
    _count(request.node)


def _count(test: pytest.Item) -> None:
    """Tell how many contracts went through, for the last line of the run."""
    what = "codegen: made-up contracts through AsyncAPI"
    before = dict(test.user_properties).get(what, 0)
    assert isinstance(before, int)
    test.user_properties[:] = [(what, before + 1)]


# --- What is no contract ------------------------------------------------------------------------------

GREET: dict[str, Any] = {
    "asyncapi": "3.0.0",
    "info": {"title": "hello", "version": "1.0"},
    "channels": {"hello.greet": {"messages": {"request": {"payload": {"type": "string"}}}}},
    "operations": {
        "greet": {
            "action": "receive",
            "channel": {"$ref": "#/channels/hello.greet"},
            "reply": {"messages": [{"payload": {"type": "string"}}]},
        }
    },
}


def _changed(path: str, value: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(GREET))
    *steps, last = path.split("/")
    part = document
    for step in steps:
        part = part[step]
    part[last] = value
    return document


def test_a_short_document_is_enough() -> None:
    contract = read_asyncapi(GREET, "hello.json")
    (call,) = contract.members
    assert (call.kind, call.name, call.side, call.timeout_ms) == ("call", "greet", "broker", 30_000)
    assert contract.schema.payloads["greet", "response", "serialization"] == {"type": "string"}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("asyncapi", "2.6.0", "it says asyncapi: '2.6.0'; ionbus reads AsyncAPI 3.0"),
        ("info/title", "My API", "info.title 'My API' is no contract's name"),
        ("info", [], r"info: an object belongs here, not \[\]"),
        ("channels/hello.greet/address", "greet", "its address 'greet' does not begin with 'hello.'"),
        ("operations", {}, "channels.hello.greet: no operation uses it"),
        ("operations/greet/action", "get", "operations.greet: its action is 'send' or 'receive'"),
        ("operations/greet/channel/$ref", "#/channels/other", "there is no #/channels/other"),
        ("operations/greet/channel/$ref", "other.yaml#/a", "does not lead to a place in this file"),
        ("operations/greet/x-ionbus-timeout-ms", 0, "x-ionbus-timeout-ms is a whole number above 0"),
        ("operations/greet/x-ionbus-deprecated", 3, "x-ionbus-deprecated is true or says what to use"),
        ("operations/greet/reply/messages", [{}, {}], "there are 2; make one whose payload is a oneOf"),
        (
            "operations/greet/reply/messages",
            [{"x-ionbus-error": "gone"}],
            "an error's message has a name and a code",
        ),
        (
            "channels/hello.greet/messages/request/payload",
            {"schemaFormat": "application/vnd.apache.avro", "schema": {}},
            "ionbus reads JSON Schema",
        ),
    ],
)
def test_what_no_contract_can_say_is_refused(path: str, value: Any, message: str) -> None:
    with pytest.raises(CodegenError, match=f"^hello.yaml: .*{message}"):
        read_asyncapi(_changed(path, value), "hello.yaml")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "it is not JSON"),
        ("a.yaml", "a: [", "it is not YAML"),
        ("a.yaml", "- 1", "it holds no AsyncAPI document"),
        ("a.toml", "", "an AsyncAPI file ends in .yaml, .yml or .json"),
    ],
)
def test_a_file_that_is_none_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(CodegenError, match=message):
        parse(tmp_path / name)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("channels/hello.greet/messages/request/payload", {"$ref": 3}),
        ("channels/hello.greet/messages/request/payload", {"properties": [1], "type": "object"}),
        ("channels/hello.greet/messages/request/payload", {"anyOf": 7}),
        ("operations/greet/channel", {"$ref": {}}),
    ],
)
def test_what_nobody_foresaw_in_a_document_is_refused_all_the_same(path: str, value: Any) -> None:
    with pytest.raises(CodegenError, match=r"^hello.yaml: "):
        read_document(_changed(path, value), "hello.yaml")
