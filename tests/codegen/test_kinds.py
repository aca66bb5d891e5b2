"""Descriptors and errors carry the code of the values that they hold, and no other; see also test_type_rows.py."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict

from ionbus import Call, Contract, ContractError, Event, Int64, Stream
from ionbus.codegen.reader import read_contract
from ionbus.codegen.typescript import write_typescript


class Node(BaseModel):
    at: datetime
    below: list["Node"] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Late(ContractError):
    """It is late."""

    code = "late"
    by: timedelta
    number: Int64


class Kinds(Contract, name="kinds", version="1.0"):
    plain = Event(str)
    recursive = Event(Node)
    several = Event(dict[int, set[UUID]])
    open = Event(Open)
    sent = Event(set[Decimal], source="client")
    asked = Call(Decimal, UUID)
    asked_with_set = Call(set[Decimal], None, raises=[Late])
    asked_with_any = Call(Any, None)
    served = Call(Decimal, UUID, served_by="client")
    read = Stream(None, Decimal)


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return write_typescript(read_contract(Kinds.__contract__), "test")


@pytest.mark.parametrize(
    ("member", "values", "is_served"),
    [
        ("plain", None, False),
        ("recursive", "[dateTimes]", False),
        ("several", "[mappings, sets, uuids]", False),
        ("open", "allValues", False),
        ("sent", "[decimals, sets]", False),  # other clients' arrive
        ("asked", "[uuids]", False),  # whoever sends a Decimal has its class
        ("askedWithSet", "[sets]", False),
        ("askedWithAny", "[mappings, sets, typedArrays]", False),
        ("served", "[decimals]", True),
        ("read", "[decimals]", False),
    ],
)
def test_a_member_carries(files: dict[str, str], member: str, values: str | None, is_served: bool) -> None:
    text = files["kinds.members.ts"]
    descriptor = text[text.index(f"export const {member}:") :].split("});", 1)[0]
    carried = [line.strip() for line in descriptor.splitlines() if line.startswith("  values: ")]
    assert carried == ([f"values: {values},"] if values else [])
    assert ("  serve,\n" in descriptor) == is_served


def test_what_is_carried_is_imported_once(files: dict[str, str]) -> None:
    imports = files["kinds.members.ts"].split('} from "ionbus";', 1)[0]
    for name in ("allValues", "dateTimes", "decimals", "mappings", "serve", "sets", "typedArrays", "uuids"):
        assert imports.count(f"  {name},\n") == 1


def test_an_error_carries_what_its_fields_hold(files: dict[str, str]) -> None:
    text = files["kinds.errors.ts"]
    assert "  static readonly values: readonly ValueKind[] = [durations];\n" in text
    assert '  static readonly bigints: Bigints = /*#__PURE__*/ bigintsAt({ received: ["number"] });\n' in text
    imports = text.split('} from "ionbus";', 1)[0]
    for name in ("bigintsAt", "durations", "type Bigints", "type ValueKind"):
        assert f"  {name},\n" in imports
