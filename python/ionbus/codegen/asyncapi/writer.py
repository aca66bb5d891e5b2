"""A contract's description to the document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from ionbus.codegen.asyncapi.schema import OTHER, USUAL_TIMEOUT_MS, WORDS, outward
from ionbus.contract.description import ContractDescription, MemberDescription
from ionbus.contract.schema import JsonSchema


def write_asyncapi(contract: ContractDescription) -> dict[str, Any]:
    """Give a contract's AsyncAPI document, as plain data."""
    schema = contract.schema
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for member in contract.members:
        name = f"{contract.name}.{member.name}"
        for part in member.parts:
            sent, received = (schema.payloads[member.name, part, way] for way in WORDS)
            messages[f"{name}.{part}"] = {
                "name": f"{name}.{part}",
                **_write_forms(sent, received, _travels(member, part)),
            }
        channels[name] = {
            "address": name,
            "messages": {
                **{part: _reference("components", "messages", f"{name}.{part}") for part in member.parts},
                **{
                    f"error.{code}": _reference("components", "messages", f"error.{code}")
                    for code in member.raises
                },
            },
        }
        operations.update(_write_operations(name, member))
    for error in contract.errors:
        sent, received = (schema.errors[error.code, way] for way in WORDS)
        messages[f"error.{error.code}"] = {
            "name": error.name,
            **_prose(description=error.doc),
            "x-ionbus-error": error.code,
            **_write_forms(sent, received, "received"),
        }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": contract.name, "version": contract.version, **_prose(description=contract.doc)},
        "x-ionbus-fingerprint": contract.fingerprint,
        **(
            {"x-ionbus-contracts": {name: _prose(description=doc) for name, doc in contract.nested.items()}}
            if contract.nested
            else {}
        ),
        "defaultContentType": "application/msgpack",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": {name: outward(part) for name, part in schema.definitions.items()},
        },
    }


def _write_operations(name: str, member: MemberDescription) -> Iterator[tuple[str, dict[str, Any]]]:
    channel = _reference("channels", name)

    def message(key: str) -> dict[str, str]:
        return _reference("channels", name, "messages", key)

    facts: dict[str, Any] = _prose(description=member.doc)
    if member.kind == "event":
        facts |= {"x-ionbus-delivery": member.delivery} if member.delivery != "session" else {}
        facts |= {"x-ionbus-key": list(member.key)} if member.key else {}
    else:
        facts |= {"x-ionbus-kind": "stream"} if member.kind == "stream" else {}
        if member.timeout_ms != USUAL_TIMEOUT_MS[member.kind]:
            facts["x-ionbus-timeout-ms"] = member.timeout_ms
        facts |= {"x-ionbus-idempotent": True} if member.is_idempotent else {}
    facts |= {"x-ionbus-roles": list(member.roles)} if member.roles else {}
    facts |= {"x-ionbus-deprecated": member.deprecated} if member.deprecated else {}
    if member.kind == "event":
        for action, side in (("send", "client"), ("receive", "broker")):
            if member.side != side:
                key = f"{name}.{action}" if member.side == "any" else name
                yield key, {"action": action, "channel": channel, **facts, "messages": [message("payload")]}
        return
    yield (
        name,
        {
            "action": "receive" if member.side == "broker" else "send",
            "channel": channel,
            **facts,
            "messages": [message("request")],
            "reply": {
                "channel": channel,
                "messages": [message(member.parts[1]), *(message(f"error.{code}") for code in member.raises)],
            },
        },
    )


def _travels(member: MemberDescription, part: str) -> Literal["sent", "received"]:
    """Which of the two forms of a payload is on its way, seen from a client."""
    is_answer = part in {"response", "item"}
    from_client = member.side == "client" if member.kind == "event" or is_answer else member.side == "broker"
    return "sent" if from_client else "received"


def _write_forms(
    sent: JsonSchema, received: JsonSchema, travels: Literal["sent", "received"]
) -> dict[str, Any]:
    forms = {"sent": sent, "received": received}
    written = {"payload": outward(forms[travels])}
    if sent != received:
        other = OTHER[travels]
        written[f"x-ionbus-{other}"] = outward(forms[other])
    return written


def _reference(*steps: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)}


def _prose(**texts: str) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}
