"""AsyncAPI documents that a person wrote wrong: a contract, and its model for the generators, or CodegenError. The file itself is YAML's matter."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.targets.description import Described, place, schema
from ionbus.codegen.asyncapi import write_asyncapi
from ionbus.codegen.model import CodegenError
from ionbus.codegen.source import read_document
from ionbus.contract.description import describe_contract

TEXT: Final = json.dumps(write_asyncapi(describe_contract(Described.__contract__)))
_OWN: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\d+|#/\S*")


def document(choices: Choices) -> Any:
    """What is written for a contract, changed in some places."""
    made = json.loads(TEXT)
    for _ in range(choices.below(4) + 1):
        around, key = place(choices, made)
        if key not in (around if isinstance(around, dict) else range(len(around))):
            continue
        match choices.below(6):
            case 0:
                del around[key]
            case 1:
                around[key] = choices.anything()
            case 2 | 3:
                around[key] = schema(choices)
            case 4:
                other, its = place(choices, made)
                around[key] = json.loads(json.dumps(other[its], default=repr))
            case _ if isinstance(around, dict):
                around[choices.text() or "x"] = around.pop(key)
    return made


def run(data: bytes) -> Outcome:
    """Read it, as `ionbus codegen` does."""
    made = document(Choices(data))
    if not isinstance(made, dict):
        return Outcome("no document")
    try:
        read_document(made, "a.yaml")
    except CodegenError as error:
        return Outcome(_OWN.sub("#", str(error))[:70])
    return Outcome("a contract")


def target() -> Target:
    """See the module."""
    return Target("asyncapi", run, tuple(corpus("asyncapi").values()), longest=150)
