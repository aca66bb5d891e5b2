"""What TypeScript has no type for is refused with the model, the field and what to do; and so are sources without contracts."""

import sys
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, Json, SecretStr, create_model, field_serializer

from ionbus.codegen import CodegenError, generate
from ionbus.codegen.reader import read_contract
from ionbus.codegen.typescript import write_typescript
from ionbus.contract.contract import Contract, ContractError, Event
from ionbus.types import Int64


class Pair(Enum):
    ONE = (1, 2)


class TypedExtra(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]

    x: int


class Unannotated(BaseModel):
    x: int

    @field_serializer("x")
    def write(self, value):  # type: ignore[no-untyped-def]
        return str(value)


class Wide(BaseModel):
    x: list[Int64]


class Narrow(BaseModel):
    x: tuple[str, float]


class Set(BaseModel):  # a name that the generated code uses itself
    x: int


def _field(kind: Any) -> type[BaseModel]:
    return create_model("Model", field=(kind, ...))


def _made(payload: Any, name: str = "made") -> None:
    make: Any = type
    contract = make("Made", (Contract,), {"__qualname__": "Made", "x": Event(payload)}, name=name)
    write_typescript(read_contract(contract.__contract__), "command")


def _same_name(module: str) -> type[BaseModel]:
    return create_model("Same", __module__=module, x=(int if module == "a" else str, ...))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (
            lambda: _field(SecretStr),
            r"^Model\.field: a password hides its value from whoever receives it; use str$",
        ),
        (lambda: _field(Iterable[int]), r"^Model\.field: a generator, which can be read once; use list"),
        (
            lambda: Unannotated,
            r"^Unannotated\.x: its serializer write does not say what it returns; annotate",
        ),
        (lambda: TypedExtra, r"^TypedExtra: it takes fields that it does not name, of a type of their own"),
        (lambda: _field(Int64 | float), r"^Model\.field: a union in which one option has a 64-bit integer"),
        (
            lambda: _field(Wide | Narrow),
            r"^Model\.field: a union .* a 64-bit integer at x\[\] and another an ordinary number",
        ),
        (lambda: _field(complex), r"^Model\.field: a complex number; use a model with two floats$"),
        (lambda: _field(Json[list[int]]), r"^Model\.field: JSON text that is parsed on validation"),
        (lambda: _field(Callable[[], int]), r"^Model\.field: a type that no schema describes"),
        (lambda: _field(Pair), r"^Pair: the constant .* is neither text, number, truth nor None"),
        (lambda: create_model("enum", x=(int, ...)), r"^made: the type name enum cannot be used"),
        (lambda: create_model("string", x=(int, ...)), r"^made: the type name string cannot be used"),
        (lambda: Set, r"^made: the type name Set cannot be used in TypeScript; rename the class$"),
        (
            lambda: create_model("Made", x=(int, ...)),
            r"^made: Made would name both the contract made and a model",
        ),
        (lambda: complex, r"^made\.x: a complex number"),
    ],
)
def test_a_type_without_counterpart_is_refused(payload: Callable[[], Any], message: str) -> None:
    with pytest.raises(CodegenError, match=message):
        _made(payload())


def test_two_models_of_one_name_get_longer_names() -> None:
    both = create_model("Both", a=(_same_name("a"), ...), b=(_same_name("b"), ...))
    _made(both)


@pytest.mark.parametrize("kind", [str, Annotated[str, Field(json_schema_extra={"format": "uuid"})]])
def test_text_stays_text_whatever_its_schema_says_besides(kind: Any) -> None:
    model = read_contract_of(_field(kind))
    assert "field: string;" in model["made.ts"]


def read_contract_of(payload: Any) -> dict[str, str]:
    make: Any = type
    contract = make("Made", (Contract,), {"__qualname__": "Made", "x": Event(payload)}, name="made")
    return write_typescript(read_contract(contract.__contract__), "command")


SOURCES = {
    "no_contracts": "x = 1\n",
    "broken": "import a_module_that_is_not_there\n",
    "one": "from ionbus import Contract, Event\nclass One(Contract, name='one'):\n    x = Event(int)\n",
    "two": "from ionbus import Contract, Event\nclass Two(Contract, name='one'):\n    x = Event(str)\n",
    "inner": (
        "from ionbus import Contract, Event\n"
        "class Outer(Contract, name='outer'):\n    class below(Contract):\n        x = Event(int)\n"
    ),
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["nowhere"], r"^nowhere: there is no module 'nowhere'"),
        (["no_contracts"], r"^no_contracts: the module defines no contract"),
        (["one:Two"], r"^one:Two: no contract 'Two' in one; it has One$"),
        (["inner:Outer.below"], r"^inner:Outer\.below: Outer\.below is inside another contract"),
        (["one", "two"], r"^two: another source has a contract 'one' too"),
    ],
)
def test_a_source_without_its_contract_is_refused(sources: list[str], message: str) -> None:
    with pytest.raises(CodegenError, match=message):
        generate(sources)


@pytest.mark.usefixtures("modules")
def test_a_module_that_fails_to_import_says_why_itself() -> None:
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        generate(["broken"])


@pytest.mark.usefixtures("modules")
def test_sources_may_name_modules_and_contracts() -> None:
    assert set(generate(["one:One", "inner"])) == {
        "one.ts",
        "one.members.ts",
        "one.schema.ts",
        "outer.ts",
        "outer.members.ts",
        "outer.schema.ts",
        "outer.below.members.ts",
    }


class Clash(ContractError):
    """A declared error whose class is called like a model."""

    code = "clash"


def test_a_model_and_an_error_of_one_name_are_told() -> None:
    from ionbus.contract.contract import Call

    make: Any = type
    model = create_model("Clash", x=(int, ...))
    body = {"__qualname__": "Made", "x": Call(model, None, raises=[Clash])}
    contract = make("Made", (Contract,), body, name="made")
    files = write_typescript(read_contract(contract.__contract__), "command")
    assert "export class Clash " in files["made.errors.ts"]


class Box(BaseModel):
    size: int = 1


class BoxInput(BaseModel):
    size: int


def test_a_model_that_is_called_like_what_is_sent_of_another_is_refused() -> None:
    both = create_model("Both", box=(Box, ...), other=(BoxInput, ...))
    with pytest.raises(CodegenError, match=r"would both be called BoxInput in TypeScript; rename one$"):
        _made(both)
