"""What a field asks of its values stands beside it in the generated TypeScript."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AnyUrl, Field, create_model

from ionbus import Contract, Event, Int64
from ionbus.codegen.reader import read_contract
from ionbus.codegen.typescript import write_typescript


def _field(kind: Any) -> str:
    """The lines of the field in the generated interface."""
    model = create_model("Model", field=(kind, ...))
    make: Any = type
    contract = make("Made", (Contract,), {"__qualname__": "Made", "x": Event(model)}, name="made")
    text = write_typescript(read_contract(contract.__contract__), "command")["made.ts"]
    return text.partition("interface Model {\n")[2].partition("}\n")[0]


@pytest.mark.parametrize(
    ("kind", "doc"),
    [
        (Annotated[int, Field(ge=1, lt=10, multiple_of=2)], "At least 1, less than 10, a multiple of 2."),
        (Annotated[float, Field(gt=0.5, le=1)], "More than 0.5, at most 1."),
        (Annotated[str, Field(min_length=1, max_length=3, pattern="^a")], "1 to 3 characters, matches `^a`."),
        (Annotated[str | None, Field(max_length=3, description="A word.")], "A word. At most 3 characters."),
        (Annotated[bytes, Field(min_length=2)], "At least 2 bytes."),
        (Annotated[list[int], Field(min_length=2, max_length=2)], "2 items."),
        (AnyUrl, "A URL, at least 1 character."),
        (Path | None, "A path."),
    ],
)
def test_a_constraint_is_told(kind: Any, doc: str) -> None:
    assert f"  /** {doc} */\n" in _field(kind)


@pytest.mark.parametrize("kind", [int, Int64, tuple[int, str], list[str], Decimal, int | str])
def test_no_constraint_is_made_up(kind: Any) -> None:
    assert "/**" not in _field(kind)
