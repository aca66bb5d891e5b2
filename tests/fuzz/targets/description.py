"""Descriptions of a contract that a client says it was built with: damaged, blown up, recursive, and no descriptions at all."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.scripts import check
from fuzz.targets.forms import Cat, Dog, Level, Options, Tree
from ionbus import Call, Contract, ContractError, Event, Stream
from ionbus.broker.agreement import Agreements
from ionbus.contract.fingerprint import describe

WORDS: Final = (
    *(
        "type",
        "properties",
        "required",
        "items",
        "prefixItems",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "enum",
        "const",
        "default",
    ),
    *(
        "additionalProperties",
        "minimum",
        "maxLength",
        "pattern",
        "x-ionbus",
        "x-ionbus-keys",
        "kind",
        "raises",
        "sent",
        "received",
    ),
)


class Failed(ContractError):
    """It failed."""

    code = "failed"
    reason: str
    at: int = 0


class Described(Contract, name="described", version="1.0"):
    """A contract with a bit of everything that is compared."""

    grow = Call(Tree, list[Tree], raises=[Failed])
    feed = Call(Cat | Dog, Level)
    count = Stream(Options, tuple[int, str])
    grown = Event(Tree, delivery="latest", key="id")
    heard = Event(str, source="any")


TEXT: Final = json.dumps(describe(Described.__contract__))
INFO: Final = Described.__contract__
AGREEMENTS: Final = Agreements({INFO.name: INFO})


def place(choices: Choices, node: Any) -> tuple[Any, Any]:
    """A place in a description: what it is in, and its key there."""
    around: Any = {"": node}
    key: Any = ""
    while isinstance(node, (dict, list)) and node and not choices.one_in(8):
        around = node
        key = choices.pick(list(node)) if isinstance(node, dict) else choices.below(len(node))
        node = around[key]
        if choices.is_over:
            break
    return around, key


def schema(choices: Choices, depth: int = 0) -> Any:
    """A schema, or something in its place."""
    match choices.below(12 if depth < 5 else 6):
        case 0:
            return choices.anything()
        case 1:
            return {"type": choices.pick(("integer", "string", "number", "null", "array", "object", "what"))}
        case 2:
            return {"$ref": f"#/$defs/{choices.pick(('Tree-Input', 'Cat-Output', 'Loop', 'Nowhere'))}"}
        case 3:
            return choices.pick((True, False, {}))
        case 4:
            return {"enum": [choices.pick(("a", 1, None, 2.5)) for _ in range(choices.pick((1, 3, 200)))]}
        case 5:
            return {"const": choices.pick(("cat", "dog", 1, "x" * 2_000))}
        case 6 | 7:
            return {
                choices.pick(("anyOf", "oneOf", "allOf")): [
                    schema(choices, depth + 1) for _ in range(choices.below(4))
                ]
                * (choices.pick((1, 1, 20)) if depth < 2 else 1)
            }
        case 8:
            return {
                "type": "array",
                choices.pick(("items", "prefixItems")): choices.pick(
                    (schema(choices, depth + 1), [schema(choices, depth + 1)])
                ),
            }
        case 9:
            inner = schema(choices, depth + 1)
            for _ in range(choices.pick((3, 50, 300)) if depth < 2 else 3):
                inner = {"type": "object", "properties": {"children": {"type": "array", "items": inner}}}
            return inner
        case _:
            properties = {
                choices.pick(("id", "weight", "children", "kind", f"p{number}")): schema(choices, depth + 1)
                for number in range(choices.below(5))
            }
            return {
                "type": "object",
                "properties": properties,
                "required": list(properties)[: choices.below(4)],
            }


def description(choices: Choices) -> Any:
    """The real one, changed in some places."""
    made = json.loads(TEXT)
    if choices.one_in(8):
        made["$defs"]["Loop"] = choices.pick(
            (
                {"$ref": "#/$defs/Loop"},
                {"anyOf": [{"$ref": "#/$defs/Loop"}] * 3},
                {"allOf": [{"$ref": "#/$defs/Loop"}]},
            )
        )
    for _ in range(choices.below(4) + 1):
        around, key = place(choices, made)
        if key not in (around if isinstance(around, dict) else range(len(around))):
            continue
        match choices.below(7):
            case 0:
                del around[key]
            case 1 | 2 | 3:
                around[key] = schema(choices)
            case 4:
                other, its = place(choices, made)
                around[key] = json.loads(json.dumps(other[its]))
            case 5 if isinstance(around[key], dict):
                around[key][choices.pick(WORDS)] = schema(choices)
            case _ if isinstance(around, dict):
                around[choices.text() or "x"] = around[key]
    return made


def run(data: bytes) -> Outcome:
    """Compare it, as the broker does when DESCRIPTION has come."""
    choices = Choices(data)
    try:
        text = json.dumps(description(choices), default=lambda value: repr(value)[:50]).encode()
    except (RecursionError, ValueError, TypeError):
        return Outcome("cannot be written")
    if choices.one_in(10):
        at = choices.number(0, len(text)) % (len(text) + 1)
        text = text[:at] + choices.blob(3) + text[at + choices.below(3) :]
    problem = AGREEMENTS.judge((INFO.name, "0.9", hashlib.sha256(text).hexdigest()[:32]), text)
    if problem is None:
        return Outcome("fits")
    check(len(problem.encode()) < 5_000, f"a problem of {len(problem)} characters")
    return Outcome(problem.split("…): ")[-1].partition(" (")[0][:70])


def target() -> Target:
    """See the module."""
    return Target("description", run, tuple(corpus("description").values()), longest=200)
