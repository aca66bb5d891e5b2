"""The document to a contract's description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from ionbus.codegen.asyncapi.schema import DEFS, NAMED, USUAL_TIMEOUT_MS, VALUES, WORDS, inward
from ionbus.codegen.model import CodegenError
from ionbus.contract.contract import Delivery
from ionbus.contract.description import ContractDescription, ErrorDescription, MemberDescription
from ionbus.contract.members import read_roles
from ionbus.contract.schema import ContractSchema, Direction, JsonSchema

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def is_written_by_ionbus(document: Mapping[str, Any], contract: ContractDescription) -> bool:
    """Whether a document is as it was exported, so that both directions of each schema are in it."""
    return document.get("x-ionbus-fingerprint") == contract.fingerprint


def read_asyncapi(document: Mapping[str, Any], where: str) -> ContractDescription:
    """Read a document's contract.

    Args:
        document: as `parse` gave it.
        where: the file, for messages.

    Raises:
        CodegenError: it is not AsyncAPI 3, or says what no contract can say.
    """
    return _Reader(document, where).contract()


class _Reader:
    def __init__(self, document: Mapping[str, Any], where: str) -> None:
        self._document = document
        self._where = where
        self._payloads: dict[tuple[str, str, Direction], JsonSchema] = {}
        self._error_fields: dict[tuple[str, Direction], JsonSchema] = {}
        self._errors: dict[str, ErrorDescription] = {}
        self._definitions: dict[str, JsonSchema] = {}

    def contract(self) -> ContractDescription:
        document = self._document
        version = document.get("asyncapi")
        if not (isinstance(version, str) and version.startswith("3.")):
            raise self._problem(f"it says asyncapi: {version!r}; ionbus reads AsyncAPI 3.0")
        about = self._object(document.get("info", {}), "info")
        name = document.get("x-ionbus-contract", about.get("title"))
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", name, re.ASCII):
            raise self._problem(
                f"info.title {name!r} is no contract's name, e.g. conductor; "
                "where the title is for people, add x-ionbus-contract: conductor"
            )
        for key, schema in self._part("components", "schemas").items():
            self._definitions[key] = inward(self._schema(schema, f"components.schemas.{key}"))
        operations: dict[int, list[tuple[str, dict[str, Any]]]] = {}
        for key, operation in self._part("operations").items():
            operation = self._resolved(operation, f"operations.{key}")
            channel = self._resolved(operation.get("channel"), f"operations.{key}.channel")
            operations.setdefault(id(channel), []).append((key, operation))
        for key, message in self._part("components", "messages").items():
            if "x-ionbus-error" in self._object(message, f"components.messages.{key}"):
                self._read_error(message, f"components.messages.{key}")
        members = tuple(
            self._member(
                name, key, channel, operations.get(id(self._resolved(channel, f"channels.{key}")), [])
            )
            for key, channel in self._part("channels").items()
        )
        used = [code for member in members for code in member.raises]
        codes = list(dict.fromkeys(used))
        nested = {
            inner: self._text(self._object(facts or {}, f"x-ionbus-contracts.{inner}"), "description")
            for inner, facts in self._part("x-ionbus-contracts").items()
        }
        for member in members:
            steps = member.name.split(".")[:-1]
            for count in range(1, len(steps) + 1):
                nested.setdefault(".".join(steps[:count]), "")
        is_verbatim = set(codes) == set(self._errors)
        return ContractDescription(
            name,
            str(about.get("version", "1.0")),
            self._text(about, "description"),
            members,
            ContractSchema(self._payloads, self._error_fields, self._definitions),
            nested,
            tuple(self._errors.values()) if is_verbatim else tuple(self._errors[code] for code in codes),
        )

    def _member(
        self, contract: str, key: str, channel: Any, operations: list[tuple[str, dict[str, Any]]]
    ) -> MemberDescription:
        where = f"channels.{key}"
        channel = self._resolved(channel, where)
        address = channel.get("address") or key
        name = address.removeprefix(f"{contract}.")
        if name == address:
            raise self._problem(f"{where}: its address {address!r} does not begin with {contract + '.'!r}")
        if not operations:
            raise self._problem(f"{where}: no operation uses it; add one that sends or receives on it")
        first_key, first = operations[0]
        at = f"operations.{first_key}"
        actions = {str(operation.get("action")) for _, operation in operations}
        if not actions <= {"send", "receive"}:
            raise self._problem(f"{at}: its action is 'send' or 'receive'")
        deprecated = first.get("x-ionbus-deprecated", False)
        if not isinstance(deprecated, (bool, str)):
            raise self._problem(f"{at}: x-ionbus-deprecated is true or says what to use instead")
        doc = self._text(first, "description") or self._text(first, "summary")
        doc = doc or self._text(channel, "description")
        reply = first.get("reply")
        if reply is None:
            message, _ = self._messages(first.get("messages"), channel, f"{at}.messages")
            side = "any" if len(actions) == 2 else "broker" if actions == {"send"} else "client"
            event = MemberDescription(
                "event",
                name,
                side,
                delivery=cast("Delivery", self._one_of(first, "x-ionbus-delivery", Delivery, "session", at)),
                key=tuple(self._texts(first, "x-ionbus-key", at)),
                doc=doc,
                deprecated=deprecated,
                roles=self._roles(operations, "broker"),
            )
            self._read_payload(event, "payload", message, at)
            return event
        if len(operations) > 1:
            raise self._problem(f"{at}: the channel of a call or a stream has one operation, not two")
        kind: Literal["call", "stream"] = "stream" if first.get("x-ionbus-kind") == "stream" else "call"
        reply = self._resolved(reply, f"{at}.reply")
        request, _ = self._messages(first.get("messages"), channel, f"{at}.messages", {"request"})
        answer, raises = self._messages(reply.get("messages", []), channel, f"{at}.reply.messages")
        timeout_ms = first.get("x-ionbus-timeout-ms", USUAL_TIMEOUT_MS[kind])
        if timeout_ms is not None and (not isinstance(timeout_ms, int) or timeout_ms <= 0):
            raise self._problem(f"{at}: x-ionbus-timeout-ms is a whole number above 0, or null for no limit")
        side = "broker" if actions == {"receive"} else "client"
        member = MemberDescription(
            kind,
            name,
            side,
            timeout_ms=timeout_ms,
            raises=tuple(raises),
            is_idempotent=bool(first.get("x-ionbus-idempotent")),
            doc=doc,
            deprecated=deprecated,
            roles=self._roles(operations, side),
        )
        self._read_payload(member, "request", request, at)
        self._read_payload(member, member.parts[1], answer, f"{at}.reply")
        return member

    def _roles(self, operations: list[tuple[str, dict[str, Any]]], served_by: str) -> tuple[str, ...]:
        """The roles of a member: what one of its operations leaves out, the other must not ask for."""
        found: set[frozenset[str]] = set()
        for key, operation in operations:
            try:
                found.add(read_roles(operation.get("x-ionbus-roles"), served_by))
            except TypeError as error:
                raise self._problem(f"operations.{key}: x-ionbus-roles: {error}") from error
        if len(found) > 1:
            keys = " and ".join(f"operations.{key}" for key, _ in operations)
            raise self._problem(f"{keys}: they are of one event, so that both have the same x-ionbus-roles")
        return tuple(sorted(found.pop()))

    def _messages(
        self, listed: Any, channel: Mapping[str, Any], where: str, only: set[str] | None = None
    ) -> tuple[dict[str, Any] | None, list[str]]:
        """Give the one message of an operation or a reply, None for none, and the codes of its errors."""
        if listed is None:
            every = self._object(channel.get("messages", {}), where)
            listed = [part for key, part in every.items() if only is None or key in only]
        found: list[dict[str, Any]] = []
        codes: list[str] = []
        for index, part in enumerate(listed):
            message = self._resolved(part, f"{where}[{index}]")
            if "x-ionbus-error" in message:
                codes.append(self._read_error(message, f"{where}[{index}]"))
            else:
                found.append(message)
        if len(found) > 1:
            raise self._problem(
                f"{where}: there are {len(found)}; make one whose payload is a oneOf of theirs"
            )
        return (found[0] if found else None), codes

    def _read_payload(
        self, member: MemberDescription, part: str, message: dict[str, Any] | None, where: str
    ) -> None:
        for way, schema in self._forms(message, where).items():
            self._payloads[member.name, part, way] = schema

    def _read_error(self, message: Any, where: str) -> str:
        message = self._resolved(message, where)
        code = message["x-ionbus-error"]
        name = message.get("name")
        if not isinstance(code, str) or not isinstance(name, str):
            raise self._problem(
                f"{where}: an error's message has a name and a code: x-ionbus-error: flow_invalid"
            )
        if code not in self._errors:
            doc = self._text(message, "description") or self._text(message, "summary")
            self._errors[code] = ErrorDescription(name, code, doc)
            empty = {"payload": {"type": "object", "properties": {}}}
            forms = self._forms(message if "payload" in message else {**message, **empty}, where)
            for way, schema in forms.items():
                if "$ref" not in schema:  # a class of its own in both languages
                    self._definitions[name] = schema
                    schema = {"$ref": f"{DEFS}{name}"}
                self._error_fields[code, way] = schema
        elif self._errors[code].name != name:
            raise self._problem(f"{where}: {name} and {self._errors[code].name} both have the code {code!r}")
        return code

    def _forms(self, message: dict[str, Any] | None, where: str) -> dict[Direction, JsonSchema]:
        """The schemas of a message in both directions; those of `None` where there is no message."""
        message = message or {}
        payload = message.get("payload", {"type": "null"})
        return {
            way: inward(self._schema(message.get(f"x-ionbus-{word}", payload), f"{where}.payload"))
            for way, word in WORDS.items()
        }

    def _schema(self, schema: Any, where: str) -> JsonSchema:
        found = self._object(schema, where)
        if "schemaFormat" in found:
            if not re.search(r"schema\+(json|yaml)|aai\.asyncapi", str(found["schemaFormat"])):
                raise self._problem(f"{where} is {found['schemaFormat']!r}; ionbus reads JSON Schema")
            found = self._object(found.get("schema"), where)
        self._check_schema(found, where)
        return found

    def _check_schema(self, schema: Any, where: str) -> None:
        """Refuse what is no JSON Schema where a slip would make a type wider."""
        if isinstance(schema, list):
            for part in schema:
                self._check_schema(part, where)
        if not isinstance(schema, dict):
            return
        kinds = schema.get("type", [])
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            if kind not in _TYPES:
                raise self._problem(f"{where}: {kind!r} is no type; there are {', '.join(_TYPES)}")
        for key, value in schema.items():
            if key in NAMED:
                for name, part in self._object(value, f"{where}.{key}").items():
                    self._check_schema(part, f"{where}.{name}")
            elif key not in VALUES and not key.startswith("x-"):
                self._check_schema(value, where)

    def _resolved(self, part: Any, where: str) -> dict[str, Any]:
        """Follow references to where they lead."""
        seen: set[str] = set()
        while isinstance(part, dict) and "$ref" in part:
            target = part["$ref"]
            if not isinstance(target, str) or not target.startswith("#/") or target in seen:
                raise self._problem(f"{where}: {target!r} does not lead to a place in this file")
            seen.add(target)
            part = self._document
            for step in target[2:].split("/"):
                step = step.replace("~1", "/").replace("~0", "~")
                if not isinstance(part, Mapping) or step not in part:
                    raise self._problem(f"{where}: there is no {target}")
                part = part[step]
        return self._object(part, where)

    def _part(self, *steps: str) -> dict[str, Any]:
        part: Any = self._document
        for step in steps:
            part = self._object(part.get(step) or {}, ".".join(steps))
        return self._object(part, ".".join(steps))

    def _object(self, part: Any, where: str) -> dict[str, Any]:
        if not isinstance(part, dict):
            raise self._problem(f"{where}: an object belongs here, not {part!r}")
        return cast("dict[str, Any]", part)

    def _text(self, part: Mapping[str, Any], name: str) -> str:
        value = part.get(name, "")
        return value if isinstance(value, str) else ""

    def _texts(self, part: Mapping[str, Any], name: str, where: str) -> list[str]:
        value = part.get(name, [])
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._problem(f"{where}: {name} is a name or a list of names")
        return value

    def _one_of(self, part: Mapping[str, Any], name: str, allowed: Any, usual: str, where: str) -> str:
        value = part.get(name, usual)
        if value not in allowed.__args__:
            raise self._problem(f"{where}: {name} is {', '.join(allowed.__args__)}, not {value!r}")
        return cast("str", value)

    def _problem(self, text: str) -> CodegenError:
        return CodegenError(f"{self._where}: {text}")
