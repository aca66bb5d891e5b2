"""Writes a contract's payloads as one JSON Schema document (2020-12), for validators in any language.

Under `$defs` are the contract's types, and each payload as `<name>.<part>.sent` and `.received`, seen from a client.
"""

from __future__ import annotations

import json
from typing import Any

from ionbus.contract.description import ContractDescription
from ionbus.contract.schema import Direction

__all__ = ["write_json_schema"]

_WORDS: dict[Direction, str] = {"validation": "sent", "serialization": "received"}


def write_json_schema(contract: ContractDescription, head: str) -> dict[str, str]:
    """Give the contract's document, by the name of its file.

    Args:
        contract: what to write.
        head: the comment that it begins with.
    """
    schema = contract.schema
    definitions: dict[str, Any] = dict(schema.definitions)
    for member in contract.members:
        for part in member.parts:
            for way, word in _WORDS.items():
                definitions[f"{contract.name}.{member.name}.{part}.{word}"] = schema.payloads[
                    member.name, part, way
                ]
    for error in contract.errors:
        for way, word in _WORDS.items():
            definitions[f"{contract.name}.error.{error.code}.{word}"] = schema.errors[error.code, way]
    document = {
        "$comment": head,
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{contract.name} {contract.version}",
        **({"description": contract.doc} if contract.doc else {}),
        "x-ionbus-fingerprint": contract.fingerprint,
        "$defs": definitions,
    }
    return {f"{contract.name}.schema.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n"}
