"""The module of one contract: its models, error classes and the contract's class, as text."""

from __future__ import annotations

import ast
import keyword
import re
import sys
from collections.abc import Iterator
from typing import Any

from ionbus.codegen.model import CodegenError
from ionbus.codegen.python.models import (
    HOLDER,
    PLACES,
    Fill,
    Places,
    calls_on,
    generate,
    without_unnamed_roots,
)
from ionbus.codegen.python.trees import docstring, is_docstring, literal, tidy
from ionbus.contract.description import (
    ContractDescription,
    ErrorDescription,
    MemberDescription,
)
from ionbus.contract.names import pascal_case
from ionbus.contract.schema import KEYS, MARK, JsonSchema

_DEFS = "#/$defs/"
_VALUES = frozenset({"const", "default", "enum", "examples", "required"})
_NAMED = frozenset({"properties", "patternProperties", "$defs"})
_DROPPED = frozenset({"title", "readOnly", "writeOnly"})
# Text, to us: pydantic needs another package for the first two, and hides the third from whoever receives it.
_UNTYPED_FORMATS = frozenset({"email", "idn-email", "password"})
_UNHEARD = frozenset(
    {
        "$anchor",
        "$dynamicRef",
        "contains",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "not",
        "then",
    }
)
_WIDE = {"int64": "Int64", "uint64": "UInt64"}
_MARKED_FORMATS = {
    "bytes": "binary",
    "datetime": "date-time",
    "date": "date",
    "time": "time",
    "duration": "duration",
    "decimal": "decimal",
    "uuid": "uuid",
}
_USUAL_TIMEOUT_MS = {"call": 30_000, "stream": None}


class Writer:
    def __init__(self, contract: ContractDescription) -> None:
        self._contract = contract
        self._places = Places()
        self._expressions: dict[tuple[str, str], ast.expr] = {}
        self._classes: dict[str, ast.ClassDef] = {}
        self._names: dict[str, str] = {}

    def module(self) -> str:
        tree = self._models()
        self._classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        holder = self._classes.pop(HOLDER)
        for statement in holder.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                self._expressions[self._part_of[statement.target.id]] = statement.annotation
        self._own = {
            name: f"Ionbus{name}" if name in self._classes else name
            for name in ("Call", "Contract", "ContractError", "Event", "Stream")
        }
        errors = {self._class_of(error): error for error in self._contract.errors}
        body: list[ast.stmt] = []
        for node in tree.body:
            if node is holder or (isinstance(node, ast.Expr) and calls_on(node) in {HOLDER, *errors}):
                continue
            if isinstance(node, ast.ClassDef):
                tidy(node, set(self._classes))
                if node.name in errors:
                    self._make_error(node, errors[node.name])
            body.append(node)
        imports = [node for node in body if isinstance(node, ast.ImportFrom)]
        rest = [node for node in body if not isinstance(node, (ast.ImportFrom, ast.Import))]
        rest.append(self._contract_class("", pascal_case(self._contract.name)))
        text = "\n\n\n".join(ast.unparse(ast.fix_missing_locations(node)) for node in rest)
        return f"{self._imports(imports, rest)}\n\n\n{text}\n"

    # --- Models ---------------------------------------------------------------------------------------

    def _models(self) -> ast.Module:
        schema = self._contract.schema
        definitions = dict(self._definitions())
        properties: dict[str, JsonSchema] = {}
        self._part_of: dict[str, tuple[str, str]] = {}
        for member in self._contract.members:
            for part in member.parts:
                name = (
                    f"{member.name.replace('.', '_')}_{part}"  # names the class of an object that has no name
                )
                while name in properties:
                    name += "_"
                self._part_of[name] = (member.name, part)
                properties[name] = self._clean(
                    schema.payloads[member.name, part, "validation"], f"{member.name} {part}"
                )
        root = {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "$defs": definitions,
        }
        tree = ast.parse(generate(root, self._contract.name))
        made = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        for name in definitions:
            if name not in made:
                raise CodegenError(
                    f"{self._contract.name}: the schema {name} cannot be a class in Python; rename it"
                )
        filled: ast.Module = Fill(self._places.expressions).visit(tree)
        return without_unnamed_roots(filled, set(definitions))

    def _definitions(self) -> Iterator[tuple[str, JsonSchema]]:
        schemas = self._contract.schema.definitions
        owners: dict[str, str] = {}
        for key, schema in schemas.items():
            if key.endswith("-Output") and f"{key.removesuffix('-Output')}-Input" in schemas:
                continue
            base = key.removesuffix("-Input")
            received = schemas.get(f"{base}-Output", {})
            if key != base and set(received.get("properties", ())) != set(schema.get("properties", ())):
                extra = ", ".join(
                    sorted(set(received.get("properties", ())) - set(schema.get("properties", ())))
                )
                raise CodegenError(
                    f"{base}: {extra or 'a field'} is in one direction only, which a file cannot say of a model in "
                    "Python; keep that contract in Python, or make two models of it"
                )
            self._names[key] = self._names[f"{base}-Output"] = self._names[base] = name = _class_name(base)
            if owners.setdefault(name, base) != base:
                raise CodegenError(
                    f"{base}: it and {owners[name]} would both be the class {name}; rename one"
                )
        for key, schema in schemas.items():
            if key.endswith("-Output") and f"{key.removesuffix('-Output')}-Input" in schemas:
                continue
            yield self._names[key], self._clean(schema, self._names[key], is_named=True)

    def _clean(self, schema: Any, where: str, *, is_named: bool = False, is_option: bool = False) -> Any:
        """Give a schema as datamodel-code-generator should see it, with places for what it has no type for."""
        if isinstance(schema, list):
            return [self._clean(part, where, is_option=is_option) for part in schema]
        if not isinstance(schema, dict):
            return schema
        place = None if is_named else self._place(schema, where, is_option=is_option)
        if place is not None:
            kept = {key: schema[key] for key in ("default", "description", "deprecated") if key in schema}
            return {"customTypePath": f"{PLACES}.{place}", **kept}
        copy: dict[str, Any] = {}
        for key, value in schema.items():
            if key in _DROPPED or key.startswith(("x-", "custom")):
                continue
            if key in _UNHEARD:
                raise CodegenError(
                    f"{where}: no model can say {key!r}; leave it out, or check it in the handler"
                )
            if key == "$ref":
                name = str(value).removeprefix(_DEFS)
                if name not in self._names:
                    raise CodegenError(f"{where}: there is no schema {name!r} in components.schemas")
                copy[key] = _DEFS + self._names[name]
            elif key == "discriminator":
                copy[key] = {"propertyName": value["propertyName"]} if isinstance(value, dict) else value
            elif key in _VALUES:
                copy[key] = value
            elif key in _NAMED and isinstance(value, dict):
                copy[key] = {
                    name: self._clean(part, f"{where}.{name}" if key == "properties" else where)
                    for name, part in value.items()
                }
            else:
                copy[key] = self._clean(value, where, is_option=key in {"anyOf", "oneOf"})
        if copy.get("format") in _UNTYPED_FORMATS or schema.get(MARK) == "str":
            copy.pop("format", None)
        elif schema.get(MARK) in _MARKED_FORMATS:
            copy["format"] = _MARKED_FORMATS[schema[MARK]]
        if schema.get(MARK) == "set":
            copy["uniqueItems"] = True
        return copy

    def _place(self, schema: JsonSchema, where: str, *, is_option: bool) -> str | None:
        mark = schema.get(MARK)
        if schema.get("type") == "integer" and (mark == "int64" or schema.get("format") in _WIDE):
            is_unsigned = schema.get("format") == "uint64" or schema.get("maximum") == 2**64 - 1
            return self._places.put("UInt64" if is_unsigned else "Int64")
        if isinstance(mark, str) and mark.endswith("array"):
            stem = mark.removesuffix("array")
            return self._places.put(
                f"{stem.replace('uint', 'UInt') if 'uint' in stem else stem.capitalize()}Array"
            )
        if mark == "map":
            keys = self._expression(schema[KEYS], where)
            values = self._expression(schema.get("additionalProperties", {}), where)
            return self._places.put(f"dict[{keys}, {values}]")
        if "enum" in schema or (is_option and "const" in schema):
            values = schema.get("enum", [schema.get("const")])
            if not all(value is None or isinstance(value, (str, int, bool)) for value in values):
                raise CodegenError(
                    f"{where}: an enum in Python's annotations is of text, whole numbers and truth"
                )
            return self._places.put(f"Literal[{', '.join(map(repr, values))}]")
        return None

    def _expression(self, schema: Any, where: str) -> str:
        """Say a small schema as a type at once, for the keys and values of a mapping."""
        cleaned = self._clean(schema, where)
        if not cleaned or cleaned is True:
            return "Any"
        if "$ref" in cleaned:
            return str(cleaned["$ref"]).removeprefix(_DEFS)
        if "customTypePath" in cleaned:
            return f"{PLACES}_{cleaned['customTypePath'].removeprefix(PLACES + '.')}"
        tree = ast.parse(
            generate(
                {"type": "object", "properties": {"x": cleaned}, "required": ["x"], "$defs": {}},
                self._contract.name,
            )
        )
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and node.target.id == "x"
            ):
                return ast.unparse(node.annotation)
        raise CodegenError(f"{where}: the keys or the values of this mapping cannot be said in Python")

    # --- Errors and the contract ------------------------------------------------------------------------

    def _class_of(self, error: ErrorDescription) -> str:
        reference = self._contract.schema.errors[error.code, "validation"]["$ref"].removeprefix(_DEFS)
        return self._names[reference]

    def _make_error(self, node: ast.ClassDef, error: ErrorDescription) -> None:
        node.bases = [ast.Name(self._own["ContractError"])]
        body = [
            statement
            for statement in node.body
            if not isinstance(statement, (ast.Pass, ast.Assign)) and not is_docstring(statement)
        ]
        code = ast.Assign([ast.Name("code")], ast.Constant(error.code), lineno=0)
        doc = [docstring(error.doc, 1)] if error.doc.strip() else []
        node.body = [*doc, code, *body]

    def _contract_class(self, nested: str, name: str) -> ast.ClassDef:
        contract = self._contract
        doc = contract.nested[nested] if nested else contract.doc
        body: list[ast.stmt] = [docstring(doc, nested.count(".") + 2 if nested else 1)] if doc.strip() else []
        body += [
            ast.Assign([ast.Name(_attribute(member.name))], self._member(member), lineno=0)
            for member in contract.members
            if member.name.rpartition(".")[0] == nested
        ]
        body += [
            self._contract_class(inner, _attribute(inner))
            for inner in contract.nested
            if inner.rpartition(".")[0] == nested
        ]
        arguments = "" if nested else f", name={contract.name!r}, version={contract.version!r}"
        made = ast.parse(f"class {name}({self._own['Contract']}{arguments}): pass").body[0]
        assert isinstance(made, ast.ClassDef)
        made.body = body or made.body
        return made

    def _member(self, member: MemberDescription) -> ast.Call:
        options: dict[str, Any] = {}
        if member.kind == "event":
            options |= {"source": member.side} if member.side != "broker" else {}
            options |= {"delivery": member.delivery} if member.delivery != "session" else {}
            if member.key:
                key = tuple(
                    self._field(self._expressions[member.name, "payload"], name) for name in member.key
                )
                options["key"] = key[0] if len(key) == 1 else key
        else:
            if member.timeout_ms != _USUAL_TIMEOUT_MS[member.kind]:
                options["timeout"] = None if member.timeout_ms is None else member.timeout_ms / 1000
            if member.raises:
                errors = {error.code: self._class_of(error) for error in self._contract.errors}
                options["raises"] = ast.List([ast.Name(errors[code]) for code in member.raises])
            options |= {"served_by": "client"} if member.side == "client" else {}
            options |= {"idempotent": True} if member.is_idempotent else {}
        options |= {"roles": set(member.roles)} if member.roles else {}
        options |= {"doc": member.doc.strip()} if member.doc.strip() else {}
        options |= {"deprecated": member.deprecated} if member.deprecated else {}
        return ast.Call(
            func=ast.Name(self._own[member.kind.capitalize()]),
            args=[self._expressions[member.name, part] for part in member.parts],
            keywords=[
                ast.keyword(name, value if isinstance(value, ast.expr) else literal(value))
                for name, value in options.items()
            ],
        )

    def _field(self, payload: ast.expr, wire_name: str) -> str:
        """What the class of a payload calls a field."""
        names = {node.id for node in ast.walk(payload) if isinstance(node, ast.Name)}
        for name in sorted(names & set(self._classes)):
            for statement in self._classes[name].body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    aliases = [
                        part.value.value
                        for part in ast.walk(statement)
                        if isinstance(part, ast.keyword)
                        and part.arg == "alias"
                        and isinstance(part.value, ast.Constant)
                    ]
                    if (aliases or [statement.target.id])[0] == wire_name:
                        return statement.target.id
        return wire_name  # the contract's class refuses it, and says which fields there are

    # --- Imports --------------------------------------------------------------------------------------

    def _imports(self, found: list[ast.ImportFrom], body: list[ast.stmt]) -> str:
        used = {part.id for node in body for part in ast.walk(node) if isinstance(part, ast.Name)}
        modules: dict[str, set[str]] = {}
        for node in found:
            if node.module not in {"__future__", PLACES}:
                modules.setdefault(node.module or "", set()).update(
                    alias.name if alias.asname is None else f"{alias.name} as {alias.asname}"
                    for alias in node.names
                    if (alias.asname or alias.name) in used
                )
        for name, local in self._own.items():
            if local in used:
                modules.setdefault("ionbus", set()).add(name if local == name else f"{name} as {local}")
        for name in self._places.ionbus_types & used:
            modules.setdefault("ionbus.types", set()).add(name)
        modules.setdefault("typing", set()).update({"Annotated", "Any", "Literal"} & used)
        modules.setdefault("pydantic", set()).update({"Field"} & used)
        groups: list[list[str]] = [[], [], []]
        for module in sorted(modules):
            if modules[module]:
                root = module.partition(".")[0]
                group = 0 if root in sys.stdlib_module_names else 2 if root == "ionbus" else 1
                groups[group].append(f"from {module} import {', '.join(sorted(modules[module]))}")
        parts = ["from __future__ import annotations", *("\n".join(group) for group in groups if group)]
        return "\n\n".join(parts)


def _class_name(key: str) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", key) if word]
    return "".join(word[0].upper() + word[1:] for word in words)


def _attribute(name: str) -> str:
    last = name.rpartition(".")[2]
    if keyword.iskeyword(last):
        raise CodegenError(f"{name}: {last!r} is a word of Python's own; rename the member")
    return last
