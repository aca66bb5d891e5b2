"""Reads contracts into the model, by way of the JSON Schemas of their payloads in both directions."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ionbus.codegen.constraints import constraints
from ionbus.codegen.model import (
    Alias,
    CodegenError,
    ContractModel,
    Definition,
    ErrorModel,
    Field,
    Interface,
    MemberModel,
    Reference,
    Type,
    references,
)
from ionbus.codegen.types import DEFS, anonymous, is_open, read_type, renamed, renamed_definition
from ionbus.contract.contract import ContractInfo
from ionbus.contract.description import (
    ContractDescription,
    ErrorDescription,
    MemberDescription,
    canonical_json,
    describe_contract,
)
from ionbus.contract.names import pascal_case
from ionbus.contract.schema import ContractSchema, Direction, JsonSchema

__all__ = ["read_contract"]


def read_contract(contract: ContractInfo | ContractDescription) -> ContractModel:
    """Make the model of an outermost contract.

    Args:
        contract: `Conductor.__contract__`, or a description that was read from a file.

    Raises:
        CodegenError: a type has no counterpart in the other language; the message names model, field and remedy.
    """
    description = contract if isinstance(contract, ContractDescription) else describe_contract(contract)
    definitions = _Definitions(description.schema)
    members = _read_level(description, "", definitions)
    errors = tuple(_read_error(error, description.schema, definitions) for error in description.errors)
    used = definitions.in_order_of_use(
        [*_member_types(members), *(part.type for error in errors for part in error.fields)]
    )
    _refuse_collisions(description, used, errors)
    text = canonical_json(description.canonical()).decode()
    return replace(members, definitions=used, errors=errors, description=text)


class _Definitions:
    """The named types of a contract. Where what is sent differs from what is received, both are there:
    `NodeProgressInput` and `NodeProgress`; else one."""

    def __init__(self, schema: ContractSchema) -> None:
        self._schemas = schema.definitions
        self._tags = set(_discriminators(schema))
        self._names = {key: self._base_name(key) for key in self._schemas}
        read = {key: self._read(key, name) for key, name in self._names.items()}
        self._merge(read)

    def type_of(self, schema: JsonSchema, where: str) -> Type:
        """Read a type that belongs to no definition, with the final names in it."""
        return renamed(read_type(schema, where), self._names)

    def doc(self, part: Type) -> str:
        """What a named type says about itself in its first paragraph, for a member that says nothing."""
        return self._by_name[part.name].doc.split("\n\n", 1)[0] if isinstance(part, Reference) else ""

    def interface(self, schema: JsonSchema) -> Interface:
        """Give the definition that a schema refers to."""
        found = self._by_name[self._names[schema["$ref"].removeprefix(DEFS)]]
        assert isinstance(found, Interface)
        return found

    def in_order_of_use(self, types: list[Type]) -> tuple[Definition, ...]:
        """Give the definitions that the types need, each beside its other direction."""
        found: dict[str, Definition] = {}
        waiting = [name for part in types for name in references(part)][::-1]
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            pair = [
                other
                for other in (name.removesuffix("Input"), f"{name.removesuffix('Input')}Input")
                if other in self._pairs
            ]
            for each in pair or [name]:
                found[each] = self._by_name[each]
            for each in (pair or [name])[::-1]:
                waiting += [below for below in references(self._by_name[each]) if below not in found][::-1]
        return tuple(found.values())

    def _base_name(self, key: str) -> str:
        """The name of a definition's received form, by its title where the key is long with an argument's metadata."""
        base = re.sub(r"-(Input|Output)$", "", key)
        title = self._schemas[key].get("title", "")
        if "Annotated[" not in title:
            return _type_name(base)
        short = _type_name(_without_metadata(title))
        others = (each for each in self._schemas if re.sub(r"-(Input|Output)$", "", each) != base)
        taken = {_type_name(_without_metadata(self._schemas[each].get("title", each))) for each in others}
        return _type_name(base) if short in taken else short

    def _read(self, key: str, name: str) -> Definition:
        schema = self._schemas[key]
        doc = inspect.cleandoc(schema.get("description", ""))
        is_mapping = "additionalProperties" in schema or "patternProperties" in schema
        if schema.get("type") == "object" and ("properties" in schema or not is_mapping):
            fields = tuple(self._read_fields(key, name, schema))
            return Interface(name, fields, doc, is_open=is_open(schema, name))
        return Alias(name, read_type(schema, name), doc)

    def _read_fields(self, key: str, name: str, schema: JsonSchema) -> Iterator[Field]:
        required = schema.get("required", ())
        for field, part in schema.get("properties", {}).items():
            yield Field(
                field,
                read_type(part, f"{name}.{field}"),
                field in required or (key, field) in self._tags,
                inspect.cleandoc(part.get("description", "")),
                json.dumps(part["default"], ensure_ascii=False)
                if "default" in part and field not in required
                else "",
                bool(part.get("deprecated")),
                constraints(part),
            )

    def _merge(self, read: dict[str, Definition]) -> None:
        """Make one of what is equal both ways, which pydantic tells apart by name alone."""
        pairs = {
            key.removesuffix("-Input"): (key, f"{key.removesuffix('-Input')}-Output")
            for key in read
            if key.endswith("-Input") and f"{key.removesuffix('-Input')}-Output" in read
        }
        different: set[str] = set()
        changed = True
        while changed:
            changed = False
            shared = {side: base for base, both in pairs.items() if base not in different for side in both}
            for base, (sent, received) in pairs.items():
                if base in different:
                    continue
                if anonymous(read[sent], shared) != anonymous(read[received], shared):
                    different.add(base)
                    changed = True
        for base, (sent, received) in pairs.items():
            name = self._base_name(received)
            self._names[received] = name
            self._names[sent] = f"{name}Input" if base in different else name
        split = [self._names[pairs[base][1]] for base in different]
        self._pairs = {*split, *(f"{name}Input" for name in split)}
        self._by_name: dict[str, Definition] = {}
        owners: dict[str, str] = {}
        for key, definition in read.items():
            name = self._names[key]
            base = re.sub(r"-(Input|Output)$", "", key)
            if owners.setdefault(name, base) != base:
                raise CodegenError(
                    f"{base}: it and {owners[name]} would both be called {name} in TypeScript; rename one"
                )
            is_sent_form = key.endswith("-Input") and base in different
            renamed = renamed_definition(definition, self._names)
            self._by_name[name] = replace(renamed, name=name, is_sent_form=is_sent_form)


def _read_level(
    description: ContractDescription, nested_name: str, definitions: _Definitions
) -> ContractModel:
    """Read the members of one contract and of those inside it.

    Args:
        description: of the outermost contract.
        nested_name: the contract's name below that, "" for itself.
        definitions: the named types.
    """
    members = [
        _read_member(description, member, definitions)
        for member in description.members
        if member.name.rpartition(".")[0] == nested_name
    ]
    nested = [
        _read_level(description, inner, definitions)
        for inner in description.nested
        if inner.rpartition(".")[0] == nested_name
    ]
    full_name = f"{description.name}.{nested_name}" if nested_name else description.name
    return ContractModel(
        nested_name.rpartition(".")[2] or description.name,
        full_name,
        description.version,
        description.fingerprint,
        description.nested[nested_name] if nested_name else description.doc,
        tuple(members),
        tuple(nested),
    )


def _read_member(
    description: ContractDescription, member: MemberDescription, definitions: _Definitions
) -> MemberModel:
    wire_name = f"{description.name}.{member.name}"

    def type_of(part: str, direction: Direction) -> Type:
        where = wire_name if part in {"payload", "request"} else f"{wire_name} {part}"
        return definitions.type_of(description.schema.payloads[member.name, part, direction], where)

    if member.kind == "event":
        types = {"received": type_of("payload", "serialization"), "sent": type_of("payload", "validation")}
        doc = member.doc or definitions.doc(types["received"])
    else:
        _, answer = member.parts
        is_ours = member.side == "client"  # then a client gets the request and sends the answer
        types = {
            "request": type_of("request", "serialization" if is_ours else "validation"),
            answer: type_of(answer, "validation" if is_ours else "serialization"),
        }
        doc = member.doc or definitions.doc(types["request"])
    names = {error.code: error.name for error in description.errors}
    return MemberModel(
        member.kind,
        member.name.rpartition(".")[2],
        wire_name,
        member.side,
        types,
        delivery=member.delivery,
        key=member.key,
        timeout_ms=member.timeout_ms,
        raises=tuple(names[code] for code in member.raises),
        is_idempotent=member.is_idempotent,
        doc=doc,
        deprecated="It will go away." if member.deprecated is True else member.deprecated or "",
        roles=member.roles,
    )


def _read_error(error: ErrorDescription, schema: ContractSchema, definitions: _Definitions) -> ErrorModel:
    fields = definitions.interface(schema.errors[error.code, "serialization"]).fields
    return ErrorModel(error.name, error.code, error.message, fields, error.doc)


def _member_types(contract: ContractModel) -> Iterator[Type]:
    for member in contract.members:
        yield from member.types.values()
    for inner in contract.nested:
        yield from _member_types(inner)


def _refuse_collisions(
    contract: ContractDescription, definitions: tuple[Definition, ...], errors: tuple[ErrorModel, ...]
) -> None:
    taken = {pascal_case(contract.name): f"the contract {contract.name}"}
    for name, what in [
        *((definition.name, "a model or enum") for definition in definitions),
        *((error.name, "an error") for error in errors),
        *((f"{error.name}Fields", f"the fields of {error.name}") for error in errors),
    ]:
        other = taken.setdefault(name, what)
        if other is not what:
            raise CodegenError(
                f"{contract.name}: {name} would name both {other} and {what} in TypeScript; rename one"
            )


def _discriminators(schema: ContractSchema) -> Iterator[tuple[str, str]]:
    """The (definition, field) pairs by which discriminated unions tell their models apart.

    Such a field has to be sent even where it has a default.
    """
    waiting: list[Any] = [*schema.definitions.values(), *schema.payloads.values(), *schema.errors.values()]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            tag = part.get("discriminator")
            if isinstance(tag, dict) and isinstance(tag.get("mapping"), dict):
                yield from ((key.removeprefix(DEFS), tag["propertyName"]) for key in tag["mapping"].values())
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _type_name(key: str) -> str:
    """Give the TypeScript name of a definition: `Page_Item_` of Page[Item] becomes PageItem."""
    if re.fullmatch(r"[A-Za-z_$][A-Za-z0-9$]*(_[A-Za-z0-9$]+)*", key):
        return key
    return "".join(word[0].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9$]+|_", key) if word)


def _without_metadata(title: str) -> str:
    """Shorten the title of a generic model: `Box[Annotated[int, Gt(gt=0)]]` becomes `Box[int]`."""
    head, annotated, tail = title.partition("Annotated[")
    if not annotated:
        return title
    depth, ends = 1, []
    for index, letter in enumerate(tail):
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(letter, 0)
        if depth == 0 or (depth == 1 and letter == ","):
            ends.append(index)
        if depth == 0:
            break
    if not ends:
        return title
    kind = "Int64" if ", _Wide" in tail[: ends[-1]] else tail[: ends[0]]
    return head + _without_metadata(kind + tail[ends[-1] + 1 :])
