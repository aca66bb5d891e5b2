"""Contracts: what a class says, and what is refused when it is made."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from ionbus.contract.contract import Call, Contract, ContractError, Event, Received, Stream


class Progress(BaseModel):
    execution_id: str
    node_id: str = Field(serialization_alias="nodeId")
    percent: float


class Moved(BaseModel):
    kind: Literal["moved"]
    node_id: str


class Renamed(BaseModel):
    kind: Literal["renamed"]
    node_id: str


class FlowInvalid(ContractError):
    """The flow cannot run as given."""

    code = "flow_invalid"
    node_ids: list[str]


class AlsoFlowInvalid(ContractError):
    code = "flow_invalid"


class Conductor(Contract, name="conductor", version="1.2"):
    """Runs flows and reports on them."""

    progress = Event(Progress, delivery="latest", key=("execution_id", "node_id"))
    changed = Event(Annotated[Moved | Renamed, Field(discriminator="kind")], delivery="latest", key="node_id")
    cancelled = Event(str, source="client", doc="A window gives up.", deprecated="Use stop.")
    execute = Call(Progress, int, raises=[FlowInvalid])
    ping = Call(None, None, timeout=None)
    logs = Stream(list[str], str | None, timeout=5, served_by="client", idempotent=True)
    name = Event(None)
    version = Event(None)

    class nodes(Contract):  # noqa: N801
        """The nodes of flows."""

        registered = Event(Progress)

        class ports(Contract):  # noqa: N801
            opened = Call(int, int)


def test_the_members_know_their_names_and_their_contract() -> None:
    info = Conductor.__contract__
    assert (info.name, info.version, info.doc) == ("conductor", "1.2", "Runs flows and reports on them.")
    assert list(info.members) == [
        "progress",
        "changed",
        "cancelled",
        "execute",
        "ping",
        "logs",
        "name",
        "version",
        "nodes.registered",
        "nodes.ports.opened",
    ]
    assert all(member.contract is info for member in info.members.values())
    assert Conductor.nodes.ports.opened.name == "conductor.nodes.ports.opened"
    assert Conductor.nodes.__contract__ is info.nested["nodes"]
    assert list(Conductor.nodes.__contract__.members) == ["registered", "ports.opened"]
    assert (Conductor.nodes.__contract__.name, Conductor.nodes.__contract__.version) == (
        "conductor.nodes",
        "1.2",
    )
    assert info.errors == {"flow_invalid": FlowInvalid}


def test_the_descriptors_tell_what_was_declared() -> None:
    assert (Conductor.progress.source, Conductor.progress.delivery) == ("broker", "latest")
    assert Conductor.progress.key == ("execution_id", "node_id")
    assert Conductor.progress.wire_key == ("execution_id", "nodeId")
    assert (Conductor.cancelled.source, Conductor.cancelled.delivery, Conductor.cancelled.key) == (
        "client",
        "session",
        (),
    )
    assert (Conductor.cancelled.doc, Conductor.cancelled.deprecated) == ("A window gives up.", "Use stop.")
    assert (Conductor.execute.timeout, Conductor.execute.served_by) == (30.0, "broker")
    assert (Conductor.execute.raises, Conductor.execute.idempotent) == ((FlowInvalid,), False)
    assert Conductor.ping.timeout is None
    assert (Conductor.logs.timeout, Conductor.logs.served_by, Conductor.logs.idempotent) == (
        5,
        "client",
        True,
    )
    assert repr(Conductor.logs) == "<Stream conductor.logs>"


def test_the_key_of_a_payload() -> None:
    assert Conductor.progress.key_of(Progress(execution_id="e", node_id="n", percent=1)) == ("e", "n")
    assert Conductor.changed.key_of(Moved(kind="moved", node_id="n")) == ("n",)
    assert Conductor.cancelled.key_of("x") == ()


def test_matches_narrows_what_was_received() -> None:
    received: Received[object] = Received(
        "conductor.progress", Progress(execution_id="e", node_id="n", percent=1)
    )
    assert Conductor.progress.matches(received)
    assert not Conductor.cancelled.matches(received)
    assert received.payload.percent == 1


def test_errors_name_the_member_and_the_part() -> None:
    assert Conductor.execute.request.where == "conductor.execute"
    assert Conductor.execute.response.where == "conductor.execute response"
    assert Conductor.logs.item.where == "conductor.logs item"


def test_a_member_outside_a_contract_has_no_name() -> None:
    with pytest.raises(RuntimeError, match="belongs to no contract yet"):
        _ = Event(int).name


SHARED = Event(int)


def _contract(body: dict[str, object], name: str | None = "wrong", **kwargs: object) -> None:
    if name is not None:
        kwargs["name"] = name
    type("Wrong", (Contract,), body, **kwargs)


def _nested(**kwargs: object) -> type[Contract]:
    return type("Wrong.inner", (Contract,), {"__qualname__": "Wrong.inner"}, **kwargs)


WRONG: Any = "wrong"  # what a type checker would not let through


@pytest.mark.parametrize(
    ("body", "keywords", "message"),
    [
        (dict, {"name": None}, r"^Wrong: a contract has a name on the wire: class Wrong\(Contract, name="),
        (dict, {"name": "not a name"}, r"^Wrong: the contract name 'not a name' cannot be used"),
        (dict, {"name": "a" * 300}, r"^Wrong: the contract name is longer than 255"),
        (dict, {"version": "one"}, r"^Wrong: version 'one' is not up to three numbers"),
        (lambda: {"_x": Event(int)}, {}, r"^Wrong\._x: a member's name begins with a letter"),
        (lambda: {"größe": Event(int)}, {}, r"^Wrong\.größe: a member's name"),
        (
            lambda: {"a_b": Event(int), "aB": Event(int)},
            {},
            r"^Wrong\.aB: it and a_b are both aB in TypeScript",
        ),
        (lambda: {"a" * 250: Event(int)}, {}, r"its full name is longer than 255"),
        (lambda: {"f": lambda: 1}, {}, r"^Wrong\.f: a contract holds events, calls, streams and contracts"),
        (lambda: {"x": SHARED, "y": SHARED}, {}, r"^Wrong\.y: the same object is Wrong\.x already"),
        (
            lambda: {"inner": _nested(name="x")},
            {},
            r"^Wrong\.inner: a contract inside another takes the attribute's name",
        ),
        (lambda: {"x": Event(int, source=WRONG)}, {}, r"^Wrong\.x: source='wrong' is unknown"),
        (lambda: {"x": Event(int, delivery=WRONG)}, {}, r"^Wrong\.x: delivery='wrong' is unknown"),
        (lambda: {"x": Event(int, delivery="durable")}, {}, r"^Wrong\.x: delivery='durable' comes .* later"),  # type: ignore[call-overload]
        (lambda: {"x": Event(Progress, key="node_id")}, {}, r"^Wrong\.x: key=.* with delivery='latest' only"),
        (
            lambda: {"x": Event(Progress, delivery="latest", key=("node", "x"))},
            {},
            r"^Wrong\.x: key='node' is no field of Progress, which has execution_id, node_id, percent$",
        ),
        (
            lambda: {"x": Event(int, delivery="latest", key="a")},
            {},
            r"^Wrong\.x: key='a' needs a payload that has fields",
        ),
        (
            lambda: {"x": Event(Moved | int, delivery="latest", key="node_id")},
            {},
            r"^Wrong\.x: key='node_id' needs a payload that has fields",
        ),
        (lambda: {"x": Event(object())}, {}, r"^Wrong\.x: pydantic cannot validate the payload"),  # type: ignore[call-overload]
        (lambda: {"x": Call(int, Contract)}, {}, r"^Wrong\.x: pydantic cannot validate the response"),
        (lambda: {"x": Call(int, int, timeout=0)}, {}, r"^Wrong\.x: timeout=0 is not a time"),
        (lambda: {"x": Stream(int, int, served_by=WRONG)}, {}, r"^Wrong\.x: served_by='wrong' is unknown"),
        (lambda: {"x": Call(int, int, raises=[ValueError])}, {}, r"^Wrong\.x: raises names .*ValueError"),  # type: ignore[list-item]
        (
            lambda: {
                "x": Call(int, int, raises=[FlowInvalid]),
                "y": Call(int, int, raises=[AlsoFlowInvalid]),
            },
            {},
            r"^Wrong\.y: AlsoFlowInvalid and FlowInvalid both have the code 'flow_invalid'",
        ),
    ],
)
def test_a_wrong_class_is_refused(
    body: Callable[[], dict[str, object]], keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        _contract({"__qualname__": "Wrong", **body()}, **keywords)


def test_a_contract_does_not_extend_another() -> None:
    with pytest.raises(TypeError, match="More: a contract cannot extend another"):
        type("More", (Conductor,), {"__qualname__": "More"}, name="more")


def test_a_contract_has_no_instances() -> None:
    with pytest.raises(TypeError, match="never instantiated"):
        Conductor()


def test_models_and_aliases_may_stand_in_a_contract() -> None:
    class Files(Contract, name="files"):
        class Entry(BaseModel):
            path: str

        Entries = list[Entry]
        listed = Event(list[Entry])

    assert list(Files.__contract__.members) == ["listed"]


# --- Fingerprints -------------------------------------------------------------------------------------


def _made(body: dict[str, object], name: str = "made", version: str = "1.0") -> str:
    make: Any = type  # as a class statement does; no checker knows of the keywords
    contract = make("Made", (Contract,), {"__qualname__": "Made", **body}, name=name, version=version)
    fingerprint: str = contract.__contract__.fingerprint
    return fingerprint


def _model(doc: str = "A doc.", **fields: Any) -> type[BaseModel]:
    return type("Model", (BaseModel,), {"__doc__": doc, "__module__": __name__, **_fields(fields)})


def _fields(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "__annotations__": {name: kind for name, (kind, _) in fields.items()},
        **{name: default for name, (_, default) in fields.items() if default is not ...},
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            lambda: {"x": Event(_model(x=(int, ...)))},
            lambda: {"x": Event(_model("Another doc.", x=(int, ...)))},
        ),
        (lambda: {"x": Event(int)}, lambda: {"x": Event(int, doc="Says more.", deprecated=True)}),
        (lambda: {"x": Call(int, int)}, lambda: {"x": Call(int, int, timeout=1)}),
        (lambda: {"x": Call(int, int)}, lambda: {"x": Call(int, int, roles={"admin"})}),
        (lambda: {"x": Event(int), "y": Event(str)}, lambda: {"y": Event(str), "x": Event(int)}),
        (
            lambda: {"x": Event(_model(x=(int, Field(description="a", title="b", examples=[1]))))},
            lambda: {"x": Event(_model(x=(int, ...)))},
        ),
    ],
    ids=["docstring", "member's doc", "timeout", "roles", "order", "prose of a field"],
)
def test_prose_does_not_change_the_fingerprint(
    one: Callable[[], dict[str, object]], other: Callable[[], dict[str, object]]
) -> None:
    assert _made(one()) == _made(other())
    assert _made(one(), version="1.0") == _made(one(), version="2.0")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: {"x": Event(int)}, lambda: {"y": Event(int)}),
        (lambda: {"x": Event(int)}, lambda: {"x": Event(float)}),
        (lambda: {"x": Event(str)}, lambda: {"x": Event(bytes)}),
        (lambda: {"x": Event(int)}, lambda: {"x": Event(int, source="client")}),
        (lambda: {"x": Event(int)}, lambda: {"x": Event(int, delivery="latest")}),
        (lambda: {"x": Call(int, int)}, lambda: {"x": Stream(int, int)}),
        (lambda: {"x": Call(int, int)}, lambda: {"x": Call(int, int, served_by="client")}),
        (lambda: {"x": Call(int, int)}, lambda: {"x": Call(int, int, raises=[FlowInvalid])}),
        (lambda: {"x": Event(_model(x=(int, ...)))}, lambda: {"x": Event(_model(x=(int, 1)))}),
        (lambda: {"x": Event(_model(x=(int, ...)))}, lambda: {"x": Event(_model(title=(int, ...)))}),
        (
            lambda: {"x": Event(_model(title=(int, ...)))},
            lambda: {"x": Event(_model(description=(int, ...)))},
        ),
        (lambda: {"x": Event(Literal["low"])}, lambda: {"x": Event(Literal["high"])}),
    ],
)
def test_what_is_agreed_on_changes_the_fingerprint(
    one: Callable[[], dict[str, object]], other: Callable[[], dict[str, object]]
) -> None:
    assert _made(one()) != _made(other())


def test_a_fingerprint_is_32_hexadecimal_digits_and_the_name_is_in_it() -> None:
    fingerprint = _made({"x": Event(int)})
    assert len(fingerprint) == 32
    assert int(fingerprint, 16) >= 0
    assert fingerprint != _made({"x": Event(int)}, name="other")
    assert fingerprint == "4b5d0672572807356c62b9bbe1621feb"
