"""Errors: the classes are those of schemas/errors.toml, and each survives the trip over the wire."""

import pickle
import tomllib
from pathlib import Path

import pytest

from ionbus import errors
from ionbus.contract.contract import ContractError
from ionbus.errors import (
    CallTimeout,
    ConnectionLost,
    InternalError,
    InvalidPayload,
    IonbusError,
    LocalProtocolError,
    NotFound,
    ProtocolError,
    RemoteProtocolError,
    error_from_wire,
    error_to_wire,
)

SCHEMA = tomllib.loads((Path(__file__).parent.parent / "schemas" / "errors.toml").read_text(encoding="utf-8"))


class FlowInvalid(ContractError):
    """The flow cannot run as given.

    Its nodes say why.
    """

    code = "flow_invalid"
    node_ids: list[str]
    limit: int = 10


@pytest.mark.parametrize(("code", "row"), SCHEMA.items(), ids=SCHEMA)
def test_each_code_has_its_class(code: str, row: dict[str, object]) -> None:
    error_class = getattr(errors, str(row["class"]))
    assert error_class.code == code
    assert issubclass(error_class, IonbusError)
    assert " ".join((error_class.__doc__ or "").split()).startswith(str(row["meaning"]))
    assert set(error_class("m").details()) == set(row.get("details", {}))  # type: ignore[call-overload]
    for branch in row.get("branches", ()):  # type: ignore[attr-defined]
        assert issubclass(getattr(errors, branch), error_class)


def test_no_class_is_missing_from_the_schema() -> None:
    listed = {name for row in SCHEMA.values() for name in (row["class"], *row.get("branches", ()))}
    classes = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    assert classes == listed


@pytest.mark.parametrize(
    ("error", "base"),
    [(CallTimeout("m"), TimeoutError), (ConnectionLost("m"), ConnectionError)],
)
def test_errors_are_also_the_standard_library_s(error: IonbusError, base: type[Exception]) -> None:
    assert isinstance(error, base)
    assert str(error) == "m"


@pytest.mark.parametrize(
    "error",
    [
        NotFound("no handler"),
        InvalidPayload("x: bad", paths=[("x", "bad"), ("", "worse")]),
        InternalError("failed", incident_id="i-1"),
        FlowInvalid(node_ids=["a", "b"], limit=3),
        FlowInvalid(message="other words", node_ids=[]),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("trip", ["wire", "pickle"])
def test_an_error_survives_the_trip(error: IonbusError, trip: str) -> None:
    if trip == "wire":
        arrived = error_from_wire(*error_to_wire(error), raises=[FlowInvalid])
    else:
        arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert vars(arrived) == vars(error)
    assert str(arrived) == str(error)


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        ("made_up", {}, IonbusError),
        ("invalid_payload", {"paths": 3}, InvalidPayload),
        ("invalid_payload", {"paths": [[1, 2], "x", ["a"], ["a", "b"]]}, InvalidPayload),
        ("internal_error", {"incident_id": 3}, InternalError),
        ("flow_invalid", {"node_ids": 3}, InvalidPayload),
        ("protocol_error", None, ProtocolError),
    ],
)
def test_whatever_arrives_becomes_an_error(
    code: str, details: dict[str, object] | None, expected: type[IonbusError]
) -> None:
    arrived = error_from_wire(code, "m", details, [FlowInvalid])
    assert type(arrived) is expected
    if expected is IonbusError:
        assert arrived.code == code


def test_the_two_branches_of_a_protocol_error() -> None:
    assert not isinstance(LocalProtocolError(), RemoteProtocolError)
    assert LocalProtocolError.code == RemoteProtocolError.code == "protocol_error"


def test_a_declared_error_says_its_docstring() -> None:
    error = FlowInvalid(node_ids=["a"])
    assert str(error) == "The flow cannot run as given."
    assert (error.node_ids, error.limit) == (["a"], 10)
    assert error.details() == {"node_ids": ["a"], "limit": 10}


def test_the_fields_of_a_declared_error_are_validated() -> None:
    with pytest.raises(InvalidPayload, match=r"^FlowInvalid: node_ids: Field required"):
        FlowInvalid()  # type: ignore[call-arg]


def _declare(**body: object) -> None:
    annotations = body.pop("annotations", {})
    type("Wrong", (ContractError,), {"__annotations__": annotations, **body})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, r"Wrong: a ContractError declares its code"),
        ({"code": "FlowInvalid"}, r"Wrong: the code 'FlowInvalid' is not in snake_case"),
        ({"code": "not_found"}, r"Wrong: the code 'not_found' belongs to an error of ionbus"),
        ({"code": "w", "annotations": {"message": str}}, r"Wrong\.message: this name is taken"),
        ({"code": "w", "annotations": {"stack": str}}, r"Wrong\.stack: this name is taken"),
        ({"code": "w", "annotations": {"x": "Missing"}}, r"Wrong: an annotation names 'Missing'"),
    ],
)
def test_a_wrong_declaration_is_refused(body: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        _declare(**body)


def test_contract_error_itself_is_not_raised() -> None:
    with pytest.raises(TypeError, match="declare a subclass"):
        ContractError()


def test_a_declared_error_may_extend_another() -> None:
    class NodeInvalid(FlowInvalid):
        code = "node_invalid"
        reason: str

    error = NodeInvalid(node_ids=["a"], reason="r")
    assert error.details() == {"node_ids": ["a"], "limit": 10, "reason": "r"}
    assert str(error) == "node invalid"
