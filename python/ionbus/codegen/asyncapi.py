"""A contract as an AsyncAPI 3.0 document, written and read back: what is written is what is read.

The document describes the broker: it sends its events, receives those of clients, and receives the requests of the
calls and streams that it serves. What AsyncAPI has no word for is under `x-ionbus-…`:

- of an operation: `kind` (`stream`; a reply alone makes a call), `delivery`, `key`, `timeout-ms`, `idempotent`,
  `roles`, `deprecated`;
- of a message: `error` (the code of a declared error, whose class is the message's name), and `sent` or `received`,
  the schema of the other direction, where what a client sends differs from what it gets (`payload` is what travels);
- of a schema: `x-ionbus` as in `contract/schema.py`, and `mapping` of a discriminator;
- of the document: `contracts` (those inside it) and `fingerprint`. A document without a fingerprint, or with another
  one than its own, was written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from ionbus.codegen.model import CodegenError
from ionbus.contract.contract import Delivery
from ionbus.contract.description import ContractDescription, ErrorDescription, MemberDescription
from ionbus.contract.members import read_roles
from ionbus.contract.schema import ContractSchema, Direction, JsonSchema

__all__ = ["FILE_ENDINGS", "is_written_by_ionbus", "parse", "read_asyncapi", "write_asyncapi", "write_text"]

FILE_ENDINGS = frozenset({".json", ".yaml", ".yml"})
"""Of files that hold AsyncAPI documents."""

_DEFS = "#/$defs/"
_SCHEMAS = "#/components/schemas/"
_VALUES = frozenset({"const", "default", "enum", "examples", "required"})
_NAMED = frozenset({"properties", "patternProperties", "$defs"})
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_USUAL_TIMEOUT_MS: Mapping[str, int | None] = {"call": 30_000, "stream": None, "event": None}
_OTHER: Mapping[str, str] = {"sent": "received", "received": "sent"}
_WORDS: Mapping[Direction, str] = {"validation": "sent", "serialization": "received"}


# --- Texts --------------------------------------------------------------------------------------------


def write_text(document: Mapping[str, Any], path: Path, head: str = "") -> str:
    """Write a document as its file's ending says.

    Args:
        document: plain data.
        path: ends in .json, .yaml or .yml.
        head: a comment for the first line, in YAML only.

    Raises:
        CodegenError: it has another ending, or PyYAML is missing.
    """
    if path.suffix == ".json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    yaml = _yaml(path)
    text: str = yaml.dump(
        document,
        Dumper=_dumper(yaml),
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )
    return f"# {head}\n{text}" if head else text


def parse(path: Path) -> dict[str, Any]:
    """Read a file's document.

    Args:
        path: ends in .json, .yaml or .yml.

    Raises:
        CodegenError: there is no such file, it is not what its ending says, or PyYAML is missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CodegenError(f"{path}: it cannot be read: {error.strerror}") from error
    try:
        if path.suffix == ".json":
            document = json.loads(text)
        else:
            yaml = _yaml(path)
            document = yaml.load(text, Loader=_loader(yaml))
    except ValueError as error:
        raise CodegenError(f"{path}: it is not JSON: {error}") from error
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise CodegenError(f"{path}: it is not YAML: {error}") from error
        raise
    if not isinstance(document, dict):
        raise CodegenError(f"{path}: it holds no AsyncAPI document")
    return document


def _yaml(path: Path) -> Any:
    if path.suffix not in FILE_ENDINGS:
        raise CodegenError(f"{path}: an AsyncAPI file ends in .yaml, .yml or .json")
    try:
        import yaml  # noqa: PLC0415 - an extra, which JSON does without
    except ImportError as error:
        raise CodegenError(
            f"{path}: YAML needs PyYAML: pip install 'ionbus[codegen]', or name a .json file"
        ) from error
    return yaml


def _loader(yaml: Any) -> Any:
    """YAML 1.2's idea of values: dates and `no` are text."""

    fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where it was built in

    class Loader(fastest):  # type: ignore[misc]
        yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own form
            first: [
                (tag, pattern)
                for tag, pattern in resolvers
                if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}
            ]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
    )
    return Loader


def _dumper(yaml: Any) -> Any:
    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        def ignore_aliases(self, data: object) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        # PyYAML's unquoted styles lose line breaks other than \n.
        lines = value.split("\n")
        are_plain = all(line.isprintable() and line == line.rstrip() for line in lines)
        style = '"' if not are_plain else "|" if len(lines) > 1 else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper


# --- Writing ------------------------------------------------------------------------------------------


def write_asyncapi(contract: ContractDescription) -> dict[str, Any]:
    """Give a contract's AsyncAPI document, as plain data."""
    schema = contract.schema
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for member in contract.members:
        name = f"{contract.name}.{member.name}"
        for part in member.parts:
            sent, received = (schema.payloads[member.name, part, way] for way in _WORDS)
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
        sent, received = (schema.errors[error.code, way] for way in _WORDS)
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
            "schemas": {name: _outward(part) for name, part in schema.definitions.items()},
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
        if member.timeout_ms != _USUAL_TIMEOUT_MS[member.kind]:
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
    written = {"payload": _outward(forms[travels])}
    if sent != received:
        other = _OTHER[travels]
        written[f"x-ionbus-{other}"] = _outward(forms[other])
    return written


def _reference(*steps: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)}


def _prose(**texts: str) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}


def _outward(schema: Any) -> Any:
    def keyword(part: dict[str, Any]) -> dict[str, Any]:
        tag = part.get("discriminator")
        if not isinstance(tag, dict):
            return part
        mapping = {name: _moved(target, _DEFS, _SCHEMAS) for name, target in tag.get("mapping", {}).items()}
        return {
            **part,
            "discriminator": tag["propertyName"],
            **({"x-ionbus-mapping": mapping} if "mapping" in tag else {}),
        }

    return _walk(schema, lambda target: _moved(target, _DEFS, _SCHEMAS), keyword)


def _inward(schema: Any) -> Any:
    def keyword(part: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(part.get("discriminator"), str):
            return part
        part = dict(part)
        tag: dict[str, Any] = {"propertyName": part["discriminator"]}
        if "x-ionbus-mapping" in part:
            tag["mapping"] = {
                name: _moved(target, _SCHEMAS, _DEFS) for name, target in part.pop("x-ionbus-mapping").items()
            }
        return {**part, "discriminator": tag}

    return _walk(schema, lambda target: _moved(target, _SCHEMAS, _DEFS), keyword)


def _moved(target: str, old: str, new: str) -> str:
    return new + target.removeprefix(old) if target.startswith(old) else target


def _walk(
    schema: Any, reference: Callable[[str], str], keyword: Callable[[dict[str, Any]], dict[str, Any]]
) -> Any:
    """Copy a schema with its references and its discriminators changed."""
    if isinstance(schema, list):
        return [_walk(part, reference, keyword) for part in schema]
    if not isinstance(schema, dict):
        return schema
    copy: dict[str, Any] = {}
    for name, value in keyword(schema).items():
        if name == "$ref" and isinstance(value, str):
            copy[name] = reference(value)
        elif name in _VALUES or name in {"discriminator", "x-ionbus-mapping"}:
            copy[name] = value
        elif name in _NAMED and isinstance(value, dict):
            copy[name] = {inner: _walk(part, reference, keyword) for inner, part in value.items()}
        else:
            copy[name] = _walk(value, reference, keyword)
    return copy


# --- Reading ------------------------------------------------------------------------------------------


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
            self._definitions[key] = _inward(self._schema(schema, f"components.schemas.{key}"))
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
        timeout_ms = first.get("x-ionbus-timeout-ms", _USUAL_TIMEOUT_MS[kind])
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
                    schema = {"$ref": f"{_DEFS}{name}"}
                self._error_fields[code, way] = schema
        elif self._errors[code].name != name:
            raise self._problem(f"{where}: {name} and {self._errors[code].name} both have the code {code!r}")
        return code

    def _forms(self, message: dict[str, Any] | None, where: str) -> dict[Direction, JsonSchema]:
        """The schemas of a message in both directions; those of `None` where there is no message."""
        message = message or {}
        payload = message.get("payload", {"type": "null"})
        return {
            way: _inward(self._schema(message.get(f"x-ionbus-{word}", payload), f"{where}.payload"))
            for way, word in _WORDS.items()
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
            if key in _NAMED:
                for name, part in self._object(value, f"{where}.{key}").items():
                    self._check_schema(part, f"{where}.{name}")
            elif key not in _VALUES and not key.startswith("x-"):
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
