"""Each rule of docs/evolution.md, in both directions, and that names, places and bounds are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import BaseModel, ConfigDict, Field

from ionbus import Call, Contract, ContractError, Event, Stream
from ionbus.contract.evolution import Change, Incomparable, Rule, compare, first_breaking, payloads
from ionbus.contract.fingerprint import describe
from ionbus.contract.members import Member
from ionbus.errors import InvalidPayload
from ionbus.wire import values

PAGE = Path(__file__).resolve().parents[1] / "docs/evolution.md"

NOT_CONCERNED = "\N{EN DASH}"


def described(**members: Member) -> dict[str, Any]:
    """The description of a contract with these members."""
    made: Any = type("Made", (Contract,), members, name="made")
    return describe(made.__contract__)


def changes(old: dict[str, Member], new: dict[str, Member]) -> list[Change]:
    return compare(described(**old), described(**new))


def model(extra: Literal["allow", "ignore", "forbid"] = "ignore", **fields: Any) -> type[BaseModel]:
    """A model whose fields are types, or pairs of type and default."""
    name = "Model"
    return type(
        name,
        (BaseModel,),
        {
            "model_config": ConfigDict(extra=extra),
            "__annotations__": {
                field: form[0] if isinstance(form, tuple) else form for field, form in fields.items()
            },
            **{field: form[1] for field, form in fields.items() if isinstance(form, tuple)},
        },
    )


class Lost(ContractError):
    code = "lost"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]


class Bird(BaseModel):
    kind: Literal["bird"]


def from_clients(form: Any) -> dict[str, Member]:
    return {"it": Call(form, None)}


def from_broker(form: Any) -> dict[str, Member]:
    return {"it": Event(form)}


class Partial(BaseModel):
    """A field that the broker may leave out."""

    a: int
    b: Annotated[int, Field(exclude_if=lambda value: value == 0)] = 0


A = model(a=int)
FORMS: dict[Rule, list[tuple[Any, Any]]] = {
    Rule.FIELD_ADDED: [(A, model(a=int, b=(int, 0))), (A, Partial)],
    Rule.FIELD_ADDED_REQUIRED: [(A, model(a=int, b=int))],
    Rule.FIELD_REMOVED: [(model(a=int, b=(int, 0)), A), (Partial, A)],
    Rule.FIELD_REMOVED_REQUIRED: [(model(a=int, b=int), A)],
    Rule.FIELD_FORBIDDEN: [
        (model(a=int, b=int), model("forbid", a=int)),
        (model("forbid", a=int), model(a=int, b=int)),
    ],
    Rule.FIELD_REQUIRED: [(model(a=int, b=(int, 0)), model(a=int, b=int)), (Partial, model(a=int, b=int))],
    Rule.FIELD_OPTIONAL: [(model(a=int, b=int), model(a=int, b=(int, 0))), (model(a=int, b=int), Partial)],
    Rule.DEFAULT_CHANGED: [(model(a=(int, 1)), model(a=(int, 2)))],
    Rule.EXTRAS_FORBIDDEN: [(model("allow", a=int), model("forbid", a=int))],
    Rule.EXTRAS_ALLOWED: [(model("forbid", a=int), model("allow", a=int))],
    Rule.TYPE_WIDENED: [(int, float), (Literal["a", "b"], str), (list[int], list[float])],
    Rule.TYPE_NARROWED: [(float, int), (str, Literal["a", "b"]), (dict[str, float], dict[str, int])],
    Rule.TYPE_CHANGED: [
        (int, str),
        (list[int], dict[str, int]),
        (tuple[int, int], tuple[int, int, int]),
        (bytes, str),
        (Literal["a", "b"], int),
        (set[int], list[int]),
    ],
    Rule.VALUE_ADDED: [(Literal["a", "b"], Literal["a", "b", "c"]), (Literal["a"], Literal["a", "b"])],
    Rule.VALUE_REMOVED: [(Literal["a", "b", "c"], Literal["a", "b"])],
    Rule.OPTION_ADDED: [
        (int, int | None),
        (Cat | Dog, Cat | Dog | Bird),
        (Annotated[Cat | Dog, Field(discriminator="kind")], Annotated[Cat | Dog | Bird, Field(discriminator="kind")]),
    ],
    Rule.OPTION_REMOVED: [(int | None, int), (Cat | Dog | Bird, Cat | Dog), (int | str, int)],
    Rule.TIGHTENED: [
        (int, Annotated[int, Field(ge=0)]),
        (Annotated[str, Field(max_length=9)], Annotated[str, Field(max_length=8)]),
        (list[int], Annotated[list[int], Field(min_length=1)]),
        (str, Annotated[str, Field(pattern="^a")]),
    ],
    Rule.LOOSENED: [
        (Annotated[int, Field(ge=0)], int),
        (Annotated[float, Field(lt=9)], Annotated[float, Field(lt=10)]),
    ],
    Rule.CONSTRAINT_CHANGED: [
        (Annotated[str, Field(pattern="^a")], Annotated[str, Field(pattern="^b")]),
        (Annotated[int, Field(multiple_of=2)], Annotated[int, Field(multiple_of=3)]),
    ],
}  # fmt: skip

Keyed = model(a=int, b=int)
MEMBERS: dict[Rule, list[tuple[dict[str, Member], dict[str, Member]]]] = {
    Rule.MEMBER_ADDED: [({}, from_clients(int)), ({}, {"it": Call(int, int, served_by="client")})],
    Rule.EVENT_REMOVED: [(from_broker(int), {})],
    Rule.CLIENT_EVENT_REMOVED: [({"it": Event(int, source="client")}, {}), ({"it": Event(int, source="any")}, {})],
    Rule.SERVED_REMOVED: [(from_clients(int), {}), ({"it": Stream(int, int)}, {})],
    Rule.HANDLED_REMOVED: [({"it": Call(int, int, served_by="client")}, {})],
    Rule.KIND_CHANGED: [({"it": Call(int, int)}, {"it": Stream(int, int)}), (from_broker(int), from_clients(int))],
    Rule.SERVED_BY_CHANGED: [({"it": Call(int, int)}, {"it": Call(int, int, served_by="client")})],
    Rule.SOURCE_TAKEN: [
        ({"it": Event(int, source="any")}, {"it": Event(int)}),
        ({"it": Event(int, source="client")}, {"it": Event(int)}),
    ],
    Rule.SOURCE_CHANGED: [
        ({"it": Event(int)}, {"it": Event(int, source="any")}),
        ({"it": Event(int, source="any")}, {"it": Event(int, source="client")}),
    ],
    Rule.DELIVERY_WEAKENED: [
        ({"it": Event(A)}, {"it": Event(A, delivery="latest", key="a")}),
        ({"it": Event(A, delivery="latest", key="a")}, {"it": Event(A, delivery="volatile")}),
    ],
    Rule.DELIVERY_STRENGTHENED: [({"it": Event(A, delivery="volatile")}, {"it": Event(A)})],
    Rule.KEY_COARSENED: [
        ({"it": Event(Keyed, delivery="latest", key="a")}, {"it": Event(Keyed, delivery="latest", key="b")}),
    ],
    Rule.KEY_REFINED: [
        ({"it": Event(Keyed, delivery="latest", key="a")}, {"it": Event(Keyed, delivery="latest", key=("a", "b"))}),
    ],
    Rule.ERROR_ADDED: [
        ({"it": Call(int, int)}, {"it": Call(int, int, raises=[Lost])}),
        (
            {"it": Call(int, int, served_by="client")},
            {"it": Call(int, int, served_by="client", raises=[Lost])},
        ),
    ],
    Rule.ERROR_REMOVED: [
        ({"it": Call(int, int, raises=[Lost])}, {"it": Call(int, int)}),
        (
            {"it": Call(int, int, served_by="client", raises=[Lost])},
            {"it": Call(int, int, served_by="client")},
        ),
    ],
}  # fmt: skip


def table() -> dict[str, dict[str, str]]:
    """What the page says of each change, by whose messages it concerns."""
    section = PAGE.read_text(encoding="utf-8").partition("## The rules")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \| (\S+) \| (\S+) \|", section, re.MULTILINE)
    return {change: {"client": client, "broker": broker} for change, client, broker in rows[1:]}


def told(found: list[Change], rule: Rule, flow: str) -> set[str]:
    return {
        "breaking" if change.is_breaking else "compatible"
        for change in found
        if change.rule == rule and change.flow == flow
    }


def test_the_page_has_a_row_for_each_rule_and_each_has_an_example() -> None:
    assert list(table()) == [str(rule) for rule in Rule]
    assert {*FORMS, *MEMBERS} == set(Rule)


@pytest.mark.parametrize("flow", ["client", "broker"])
@pytest.mark.parametrize("rule", FORMS, ids=str)
def test_a_change_of_a_payload_is_judged_as_the_page_says(rule: Rule, flow: str) -> None:
    expected = table()[rule][flow]
    place = from_clients if flow == "client" else from_broker
    results = [changes(place(old), place(new)) for old, new in FORMS[rule]]
    if expected == NOT_CONCERNED:
        assert not any(told(found, rule, flow) for found in results)
        return
    concerned = [found for found in results if told(found, rule, flow)]
    assert concerned
    for found in concerned:
        assert told(found, rule, flow) == {expected}
        assert {change.flow for change in found} == {flow}
    unclear = [
        found for found in results if not told(found, rule, flow) and any(c.is_breaking for c in found)
    ]
    mixed = {
        Rule.FIELD_FORBIDDEN,
        Rule.FIELD_ADDED,
        Rule.FIELD_REMOVED,
        Rule.FIELD_REQUIRED,
        Rule.FIELD_OPTIONAL,
    }
    assert rule in mixed or (not unclear and len(concerned) == len(results))


@pytest.mark.parametrize("rule", MEMBERS, ids=str)
def test_a_change_of_a_member_is_judged_as_the_page_says(rule: Rule) -> None:
    expected = {flow: verdict for flow, verdict in table()[rule].items() if verdict != NOT_CONCERNED}
    seen = dict[str, str]()
    for old, new in MEMBERS[rule]:
        found = [change for change in changes(old, new) if change.rule in {rule, Rule.EVENT_REMOVED}]
        assert found
        seen |= {change.flow: "breaking" if change.is_breaking else "compatible" for change in found}
    assert seen == expected


def test_equal_contracts_have_no_changes() -> None:
    def members() -> dict[str, Member]:
        return {"it": Call(Cat | Dog, dict[str, list[int | None]], raises=[Lost])}

    assert changes(members(), members()) == []


def test_prose_time_outs_and_the_order_of_things_are_no_change() -> None:
    old = {"it": Call(Cat | Dog, Literal["a", "b"])}
    new = {"it": Call(Dog | Cat, Literal["b", "a"], timeout=3.0, idempotent=True)}
    assert changes(old, new) == []  # type: ignore[arg-type]


def test_an_enum_with_a_case_for_what_is_unknown_can_grow() -> None:
    found = changes(from_broker(Literal["a"] | int | str), from_broker(Literal["a", "b"] | int | str))  # noqa: PYI051
    assert [(change.rule, change.is_breaking) for change in found] == [(Rule.VALUE_ADDED, False)]


class OldNode(BaseModel):
    id: str
    children: list[OldNode] = []


class NewNode(BaseModel):
    id: int
    children: list[NewNode] = []


def test_a_change_deep_inside_is_named_with_its_place() -> None:
    old = model(flow=model(nodes=list[OldNode]), tags=dict[str, int])
    new = model(flow=model(nodes=list[NewNode]), tags=dict[str, str])
    found = changes(from_clients(old), from_clients(new))
    assert [change.path for change in found] == ["request.flow.nodes[].id", "request.tags{}"]
    assert str(found[0]) == "made.it request.flow.nodes[].id: type changed (str before, integer now)"


def test_a_field_in_a_member_of_a_union_is_named() -> None:
    class OtherCat(BaseModel):
        kind: Literal["cat"]
        lives: str

    [found] = changes(from_broker(Cat | Dog), from_broker(OtherCat | Dog))
    assert (found.path, found.rule, found.is_breaking) == ("payload.lives", Rule.TYPE_CHANGED, True)


def test_fields_of_errors_are_compared_in_the_direction_in_which_they_travel() -> None:
    class OldLoss(ContractError):
        code = "lost"
        place: str

    class NewLoss(ContractError):
        code = "lost"
        place: str | None

    found = changes({"it": Call(int, int, raises=[OldLoss])}, {"it": Call(int, int, raises=[NewLoss])})
    assert [str(change) for change in found] == ["made.error lost place: union member added (null)"]
    assert (found[0].flow, found[0].is_breaking) == ("broker", True)
    served: dict[str, Member] = {"it": Call(int, int, raises=[OldLoss], served_by="client")}
    now: dict[str, Member] = {"it": Call(int, int, raises=[NewLoss], served_by="client")}
    assert first_breaking(described(**served), described(**now)) is None


def test_events_of_clients_are_compared_in_both_directions() -> None:
    old: dict[str, Member] = {"it": Event(int, source="client")}
    new: dict[str, Member] = {"it": Event(float, source="client")}
    assert [(change.flow, change.is_breaking) for change in changes(old, new)] == [
        ("client", False),
        ("broker", True),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"name": "made"},
        {"name": "made", "members": [], "errors": {}, "$defs": {}},
        {"name": "made", "members": {"it": 3}, "errors": {}, "$defs": {}},
        {"name": "made", "members": {"it": {"kind": "event"}}, "errors": {}, "$defs": {}},
        {"name": "other", "members": {}, "errors": {}, "$defs": {}},
    ],
)
def test_what_is_no_description_is_said_to_be_none(broken: dict[str, Any]) -> None:
    with pytest.raises(Incomparable):
        compare(broken, described(it=Event(int)))


def event_of(schema: Any, **definitions: Any) -> dict[str, Any]:
    payload = {"sent": schema, "received": schema}
    event = {"kind": "event", "source": "broker", "delivery": "session", "key": [], "payload": payload}
    return {"name": "made", "members": {"it": event}, "errors": {}, "$defs": definitions}


def test_a_circle_and_a_flood_of_references_end() -> None:
    with pytest.raises(Incomparable):
        compare(event_of({"$ref": "#/$defs/A"}, A={"$ref": "#/$defs/A"}), described(it=Event(int)))
    doubling = {
        f"D{index}": {"anyOf": [{"$ref": f"#/$defs/D{index + 1}"}, {"$ref": f"#/$defs/D{index + 1}"}]}
        for index in range(40)
    }
    with pytest.raises(Incomparable, match="steps"):
        compare(
            event_of({"$ref": "#/$defs/D0"}, D40={"type": "integer"}, **doubling), described(it=Event(int))
        )


def test_a_depth_without_end_ends() -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(5000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(Incomparable, match="deep"):
        compare(event_of(schema), event_of(schema.copy()))


def test_a_wide_contract_takes_far_less_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[Any] = [model(a=int)]
    for index in range(60):
        models.append(
            type(f"M{index}", (BaseModel,), {"__annotations__": {"left": models[-1], "right": models[-1]}})
        )
    monkeypatch.setattr(payloads, "MAX_STEPS", 2_000)
    assert changes(from_broker(models[-1]), from_broker(models[-1])) == []


# --- What is judged compatible is accepted --------------------------------------------------------------

SCALARS: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool, "none": None, "bytes": bytes}
WORDS = ("a", "b", "c")
Spec = tuple[Any, ...]
"""A type as plain data: ("int",), ("list", spec), ("union", specs), ("model", {name: (spec, is_required)}), …"""


def specs() -> st.SearchStrategy[Spec]:
    leaves = st.one_of(
        st.sampled_from([(name,) for name in SCALARS]),
        st.sets(st.sampled_from(WORDS), min_size=1).map(lambda words: ("literal", *sorted(words))),
        st.tuples(st.just("least"), st.integers(0, 3)),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(["list", "dict"]), inner),
            st.tuples(st.just("union"), inner, inner),
            st.dictionaries(st.sampled_from(WORDS), st.tuples(inner, st.booleans())).map(
                lambda fields: ("model", fields)
            ),
        ),
        max_leaves=5,
    )


def changed(spec: Spec) -> st.SearchStrategy[Spec]:
    """The type itself, or with changes in it."""
    choices: list[st.SearchStrategy[Spec]] = [st.just(spec), specs()]
    match spec:
        case ("list" | "dict" as kind, inner):
            choices.append(changed(inner).map(lambda other: (kind, other)))
        case ("union", one, other):
            choices += [st.just(one), st.tuples(st.just("union"), changed(one), changed(other))]
        case ("model", fields):
            per_field = {
                name: st.tuples(changed(inner), st.booleans()) for name, (inner, _) in fields.items()
            }
            more = st.dictionaries(st.sampled_from(WORDS), st.tuples(specs(), st.booleans()), max_size=1)
            both = st.tuples(st.fixed_dictionaries({}, optional=per_field), more)
            choices.append(both.map(lambda two: ("model", {**two[1], **two[0]})))
        case _:
            choices.append(st.tuples(st.just("union"), st.just(spec), specs()))
    return st.one_of(choices)


def form_of(spec: Spec) -> Any:
    match spec:
        case ("literal", *words):
            return Literal[tuple(words)]
        case ("least", least):
            return Annotated[int, Field(ge=least)]
        case ("list", inner):
            return list[form_of(inner)]  # type: ignore[misc]
        case ("dict", inner):
            return dict[str, form_of(inner)]  # type: ignore[misc]
        case ("union", one, other):
            return Union[form_of(one), form_of(other)]  # noqa: UP007 - None is a value, not a type
        case ("model", fields):
            forms = {name: form_of(inner) for name, (inner, _) in fields.items()}
            return model(
                **{
                    name: form if fields[name][1] else (form, Field(default_factory=dict))
                    for name, form in forms.items()
                }
            )
    return SCALARS[spec[0]]


@st.composite
def values_of(draw: st.DrawFn, spec: Spec, *, is_complete: bool) -> Any:
    """A value of the type; complete: as the broker sends it, with every field."""

    def inside(inner: Spec) -> st.SearchStrategy[Any]:
        return values_of(inner, is_complete=is_complete)

    match spec:
        case ("literal", *words):
            return draw(st.sampled_from(words))
        case ("least", least):
            return draw(st.integers(least, 9))
        case ("list", inner):
            return draw(st.lists(inside(inner), max_size=2))
        case ("dict", inner):
            return draw(st.dictionaries(st.sampled_from(WORDS), inside(inner), max_size=2))
        case ("union", one, other):
            return draw(inside(one if draw(st.booleans()) else other))
        case ("model", fields):
            return {
                name: draw(inside(inner))
                for name, (inner, is_required) in fields.items()
                if is_required or is_complete or draw(st.booleans())
            }
    plain: dict[str, st.SearchStrategy[Any]] = {
        "int": st.integers(-9, 9),
        "float": st.floats(-9, 9),
        "str": st.sampled_from(["a", "z", ""]),
        "bool": st.booleans(),
        "none": st.none(),
        "bytes": st.just(b"\x00"),
    }
    return draw(plain[spec[0]])


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_is_judged_compatible_is_accepted(data: st.DataObject) -> None:
    spec = data.draw(specs())
    other = data.draw(changed(spec))
    for flow, place in (("client", from_clients), ("broker", from_broker)):
        maker, reader = (spec, other) if flow == "client" else (other, spec)
        old, new = place(form_of(spec)), place(form_of(other))
        found = changes(old, new)
        member: Any = new["it"] if flow == "client" else old["it"]
        payload = member.request if flow == "client" else member.payload
        value = data.draw(values_of(maker, is_complete=flow == "broker"))
        if any(change.is_breaking for change in found):
            continue
        try:
            payload.decode(values.encode(value))
        except InvalidPayload as error:
            pytest.fail(f"{maker} read as {reader}: {value!r} is refused: {error}")
