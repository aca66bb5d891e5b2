"""Compares two canonical descriptions of a contract: what changed, and who breaks by it (docs/evolution.md).

The old description is what a client was built with, the new one what the broker serves. What clients send is made by
the old one and read by the new one; what the broker sends is made by the new one and read by the old one. So every
question is the same: is each value that its maker may write accepted by its reader? The names of the changes always
look from old to new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from ionbus.contract.schema import MARK, REFUSED

__all__ = ["Change", "Incomparable", "Rule", "compare", "first_breaking", "kind_of"]

Flow: TypeAlias = Literal["client", "broker"]
"""Whose message it is: what clients send, or what the broker sends."""
Json: TypeAlias = Mapping[str, Any]

MAX_STEPS = 200_000
"""Schemas, fields and values that one comparison looks at in one direction: what a client's description costs is bounded, too."""


class Rule(StrEnum):
    """The kinds of changes; docs/evolution.md has a row for each, in this order."""

    MEMBER_ADDED = "member added"
    EVENT_REMOVED = "event removed"
    CLIENT_EVENT_REMOVED = "event of clients removed"
    SERVED_REMOVED = "call or stream removed, served by the broker"
    HANDLED_REMOVED = "call or stream removed, served by clients"
    KIND_CHANGED = "event, call or stream changed into another of these"
    SERVED_BY_CHANGED = "served_by changed"
    SOURCE_TAKEN = "source changed, clients may no longer publish"
    SOURCE_CHANGED = "source changed in another way"
    DELIVERY_WEAKENED = "delivery promises less"
    DELIVERY_STRENGTHENED = "delivery promises more"
    KEY_COARSENED = "key changed"
    KEY_REFINED = "key has more fields"
    ERROR_ADDED = "error added"
    ERROR_REMOVED = "error removed"
    FIELD_ADDED = "field added, optional"
    FIELD_ADDED_REQUIRED = "field added, required"
    FIELD_REMOVED = "field removed, optional"
    FIELD_REMOVED_REQUIRED = "field removed, required"
    FIELD_FORBIDDEN = "field added or removed, and the reader forbids unknown ones"
    FIELD_REQUIRED = "field became required"
    FIELD_OPTIONAL = "field became optional"
    DEFAULT_CHANGED = "default changed"
    EXTRAS_FORBIDDEN = "unknown fields became forbidden"
    EXTRAS_ALLOWED = "unknown fields became allowed"
    TYPE_WIDENED = "type widened"
    TYPE_NARROWED = "type narrowed"
    TYPE_CHANGED = "type changed"
    VALUE_ADDED = "enum value added"
    VALUE_REMOVED = "enum value removed"
    OPTION_ADDED = "union member added"
    OPTION_REMOVED = "union member removed"
    TIGHTENED = "constraint tightened"
    LOOSENED = "constraint loosened"
    CONSTRAINT_CHANGED = "constraint changed"


class Incomparable(Exception):
    """A description that is none, or that asks for more work than is done for it; the message says which."""


@dataclass(frozen=True)
class Change:
    """One difference between two contracts.

    Args:
        contract: its name.
        member: the member's name below the contract, or "error CODE" for the fields of an error.
        path: the part of the member and the field in it: "request.flow.nodes[].id"; "" for the member itself.
        flow: whose messages it concerns.
        rule: what it is.
        is_breaking: whether an old client and a new broker misunderstand each other by it.
        detail: what was and what is, in words; may be "".
    """

    contract: str
    member: str
    path: str
    flow: Flow
    rule: Rule
    is_breaking: bool
    detail: str = ""

    def __str__(self) -> str:
        where = f"{self.contract}.{self.member}{' ' if self.path else ''}{self.path}"
        return f"{where}: {self.rule}{f' ({self.detail})' if self.detail else ''}"


def compare(old: Json, new: Json) -> list[Change]:
    """Name every change from one canonical description of a contract to another, in the order of the names.

    Args:
        old: what clients were built with.
        new: what the broker serves.

    Raises:
        Incomparable: one of them is no canonical description, or too large to compare.
    """
    with _told_apart():
        return list(_Comparison(old, new).changes())


def first_breaking(old: Json, new: Json) -> Change | None:
    """Give the first change by which a client with `old` and a broker with `new` cannot work together, or None.

    Raises:
        Incomparable: as for `compare`.
    """
    with _told_apart():
        return next((change for change in _Comparison(old, new).changes() if change.is_breaking), None)


@contextmanager
def _told_apart() -> Iterator[None]:
    """Whatever is raised because a description is none becomes `Incomparable`."""
    try:
        yield
    except Incomparable:
        raise
    except RecursionError:
        raise Incomparable("a description is nested too deep to be compared") from None
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Incomparable(f"not a canonical description of a contract ({error!r:.200})") from error


@dataclass(frozen=True)
class _Found:
    """A change in a payload, before it is known which one."""

    path: str
    rule: Rule
    is_breaking: bool
    detail: str = ""


class _Comparison:
    def __init__(self, old: Json, new: Json) -> None:
        self._old = old
        self._new = new
        if old["name"] != new["name"]:
            raise Incomparable(f"two contracts, {old['name']} and {new['name']}")
        self._name: str = new["name"]
        definitions: tuple[Json, Json] = (old["$defs"], new["$defs"])
        self._walks: Mapping[Flow, _Walk] = {
            "client": _Walk(*definitions),
            "broker": _Walk(*reversed(definitions), is_maker_new=True),
        }

    def changes(self) -> Iterator[Change]:
        old, new = self._old, self._new
        for name in sorted({*old["members"], *new["members"]}):
            before, after = old["members"].get(name), new["members"].get(name)
            if before is None:
                yield self._change(name, "broker", Rule.MEMBER_ADDED, after["kind"])
            elif after is None:
                yield from self._removed(name, before)
            else:
                yield from self._member(name, before, after)
        for code in sorted(set(old["errors"]) & set(new["errors"])):
            for flow in self._flows_of(code):
                before, after = old["errors"][code], new["errors"][code]
                yield from self._payload(f"error {code}", "", flow, before, after)

    def _change(
        self, member: str, flow: Flow, rule: Rule, detail: str = "", *, is_breaking: bool = False
    ) -> Change:
        return Change(self._name, member, "", flow, rule, is_breaking, detail)

    def _removed(self, name: str, before: Json) -> Iterator[Change]:
        if before["kind"] == "event":
            if before["source"] != "broker":
                yield self._change(name, "client", Rule.CLIENT_EVENT_REMOVED, is_breaking=True)
            yield self._change(name, "broker", Rule.EVENT_REMOVED, is_breaking=True)
        elif before["served_by"] == "broker":
            yield self._change(name, "client", Rule.SERVED_REMOVED, before["kind"], is_breaking=True)
        else:
            yield self._change(name, "broker", Rule.HANDLED_REMOVED, before["kind"])

    def _member(self, name: str, before: Json, after: Json) -> Iterator[Change]:
        for trait, rule in (("kind", Rule.KIND_CHANGED), ("served_by", Rule.SERVED_BY_CHANGED)):
            if before.get(trait) != after.get(trait):
                detail = f"{before.get(trait)} before, {after.get(trait)} now"
                for flow in _FLOWS:
                    yield self._change(name, flow, rule, detail, is_breaking=True)
                return
        if before["kind"] == "event":
            yield from self._event(name, before, after)
            if before["source"] != "broker":
                yield from self._payload(name, "payload", "client", before["payload"], after["payload"])
            # Events of clients go on to other clients, so they are read by old ones, too.
            yield from self._payload(name, "payload", "broker", before["payload"], after["payload"])
            return
        asks: Flow = "client" if before["served_by"] == "broker" else "broker"
        answers: Flow = "broker" if asks == "client" else "client"
        for code in sorted({*before["raises"]} ^ {*after["raises"]}):
            rule = Rule.ERROR_ADDED if code in after["raises"] else Rule.ERROR_REMOVED
            yield self._change(name, answers, rule, code)
        answer = "response" if before["kind"] == "call" else "item"
        yield from self._payload(name, "request", asks, before["request"], after["request"])
        yield from self._payload(name, answer, answers, before[answer], after[answer])

    def _event(self, name: str, before: Json, after: Json) -> Iterator[Change]:
        if before["source"] != after["source"]:
            taken = after["source"] == "broker"
            rule = Rule.SOURCE_TAKEN if taken else Rule.SOURCE_CHANGED
            detail = f"{before['source']} before, {after['source']} now"
            yield self._change(name, "client", rule, detail, is_breaking=taken)
        was, now = before["delivery"], after["delivery"]
        if was != now:
            weakened = _PROMISE.index(now) < _PROMISE.index(was)
            rule = Rule.DELIVERY_WEAKENED if weakened else Rule.DELIVERY_STRENGTHENED
            yield self._change(name, "broker", rule, f"{was} before, {now} now", is_breaking=weakened)
        elif was == "latest" and before["key"] != after["key"]:
            refined = set(before["key"]) <= set(after["key"])
            rule = Rule.KEY_REFINED if refined else Rule.KEY_COARSENED
            detail = f"{', '.join(before['key']) or 'none'} before, {', '.join(after['key']) or 'none'} now"
            yield self._change(name, "broker", rule, detail, is_breaking=not refined)

    def _flows_of(self, code: str) -> list[Flow]:
        """Who sends an error: whoever answers what raises it."""
        servers = {
            member["served_by"]
            for side in (self._old, self._new)
            for member in side["members"].values()
            if code in member.get("raises", ())
        }
        return [flow for flow in _FLOWS if flow in servers]

    def _payload(self, member: str, part: str, flow: Flow, before: Json, after: Json) -> Iterator[Change]:
        form, walk = ("sent" if flow == "client" else "received"), self._walks[flow]
        old, new = before[form], after[form]
        seen: set[_Found] = set()
        for found in walk.compare(*((old, new) if flow == "client" else (new, old)), part):
            if found not in seen:
                seen.add(found)
                yield Change(
                    self._name, member, found.path, flow, found.rule, found.is_breaking, found.detail
                )


_FLOWS: tuple[Flow, ...] = ("client", "broker")
_PROMISE = ("volatile", "latest", "session")
"""What is promised of an event's delivery, the least first."""

_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_EXACT = ("pattern", "multipleOf", "uniqueItems", "format", "propertyNames", "patternProperties")
_PROSE = frozenset({"title", "description", "examples", "deprecated", "$comment", "readOnly", "writeOnly"})
_KEYS = f"{MARK}-keys"
_KNOWN = frozenset(
    {
        *(*_UPPER, *_LOWER, *_EXACT, *_PROSE),
        *("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "discriminator", "default", MARK),
        *("properties", "required", "additionalProperties", "items", "prefixItems", "$defs", _KEYS),
    }
)
_SCALARS = {str: "str", bool: "boolean", int: "integer", float: "number", type(None): "null"}


class _Walk:
    """Asks of two schemas whether each value of the maker's is accepted by the reader's.

    Args:
        maker: what references mean in what is written.
        reader: what they mean in what is taken.
        is_maker_new: the maker's is the newer one; changes are named from the old to the new.
    """

    def __init__(self, maker: Json, reader: Json, *, is_maker_new: bool = False) -> None:
        self._maker = maker
        self._reader = reader
        self._is_maker_new = is_maker_new
        self._under_way: dict[
            tuple[int, int], int
        ] = {}  # the pairs around this one, and how far out they are
        self._assumed = _NEVER  # the outermost pair that was taken for equal while it was under way
        self._same: set[tuple[int, int]] = set()
        self._merged: dict[int, Any] = {}  # schemas without their references, by the id of what they were
        self._steps = 0

    def compare(self, maker: Any, reader: Any, path: str) -> list[_Found]:
        """Find what is different between a schema of the maker's and one of the reader's."""
        return self._pair(maker, reader, path)

    # What changes are called.

    def _accepted_more(self, path: str, added: Rule, removed: Rule, detail: str) -> _Found:
        """The reader takes more than is written."""
        return _Found(path, removed if self._is_maker_new else added, is_breaking=False, detail=detail)

    def _written_more(self, path: str, added: Rule, removed: Rule, detail: str) -> _Found:
        """More is written than the reader takes."""
        return _Found(path, added if self._is_maker_new else removed, is_breaking=True, detail=detail)

    def _was_is(self, maker: object, reader: object) -> str:
        old, new = (reader, maker) if self._is_maker_new else (maker, reader)
        return f"{old} before, {new} now"

    # Any two schemas.

    def _pair(self, maker: Any, reader: Any, path: str) -> list[_Found]:
        self._count()
        maker = self._resolved(maker, self._maker)
        reader = self._resolved(reader, self._reader)
        pair = (id(maker), id(reader))
        if pair in self._same:
            return []
        depth = self._under_way.get(pair)
        if depth is not None:  # a recursive type: a difference is found where the pair was met first
            self._assumed = min(self._assumed, depth)
            return []
        own, outer, self._assumed = len(self._under_way), self._assumed, _NEVER
        self._under_way[pair] = own
        try:
            found = self._options(maker, reader, path)
        finally:
            del self._under_way[pair]
        if self._assumed >= own:
            self._assumed = _NEVER
            if not found:
                self._same.add(pair)
        self._assumed = min(outer, self._assumed)
        return found

    def _count(self, steps: int = 1) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise Incomparable(f"the descriptions take more than {MAX_STEPS} steps to compare")

    def _options(self, maker: Any, reader: Any, path: str) -> list[_Found]:
        makers = list(self._alternatives(maker, self._maker))
        readers = list(self._alternatives(reader, self._reader))
        self._count(sum(map(_weight, makers)) + sum(map(_weight, readers)))
        found = self._default(makers, readers, path)
        values = [value for option in makers for value in _values(option) or ()]
        known = [value for option in readers for value in _values(option) or ()]
        makers = [option for option in makers if _values(option) is None]
        readers = [option for option in readers if _values(option) is None]
        was_is = self._was_is(_together(makers, values), _together(readers, known))
        is_one_kind = len(makers) + bool(values) == 1 == len(readers) + bool(known)
        if is_one_kind and values and readers:
            fits = all(_takes(readers[0], value) for value in values)
            return [*found, self._other_type(path, was_is, is_accepted=fits)]
        if is_one_kind and makers and known:
            is_related = all(_takes(makers[0], value) for value in known)
            return [*found, self._other_type(path, was_is, is_written=is_related)]
        if len(makers) == len(readers) == 1 and not values and not known:
            return found + self._one(makers[0], readers[0], path)
        found += self._constants(values, known, readers, path)
        unused = list(readers)
        likenesses, tags = [_likeness(each) for each in readers], [dict(_tags(each)) for each in readers]
        for option in makers:
            own, own_tags = _likeness(option), _tags(option)
            self._count(len(readers) * (1 + len(own_tags)))
            like = [each for each, its in zip(readers, likenesses, strict=True) if own == its]
            others = [
                each
                for each, its, its_tags in zip(readers, likenesses, tags, strict=True)
                if own != its and not _are_told_apart(own_tags, its_tags)
            ]
            fitting = next((each for each in (*like, *others) if self._fits(option, each)), None)
            taken = fitting if fitting is not None else next(iter(like), None)
            if taken is None:
                found.append(self._written_more(path, *_OPTION, _named(option)))
                continue
            if taken in unused:
                unused.remove(taken)
            found += self._one(option, taken, path)
        return found + [self._accepted_more(path, *_OPTION, _named(option)) for option in unused]

    def _fits(self, maker: Any, reader: Any) -> bool:
        self._count()
        return not any(found.is_breaking for found in self._one(maker, reader, ""))

    def _other_type(
        self, path: str, was_is: str, *, is_accepted: bool = False, is_written: bool = False
    ) -> _Found:
        """A type became another: the reader's takes all that is written, or some of it, or nothing."""
        if not is_accepted and not is_written:
            return _Found(path, Rule.TYPE_CHANGED, is_breaking=True, detail=was_is)
        rule = Rule.TYPE_WIDENED if is_accepted != self._is_maker_new else Rule.TYPE_NARROWED
        return _Found(path, rule, is_breaking=not is_accepted, detail=was_is)

    def _constants(self, values: list[Any], known: list[Any], readers: list[Any], path: str) -> list[_Found]:
        """Single values: those of enums and literals."""
        self._count(len(values) * len(readers))
        found = []
        texts, known_texts = {_written(value) for value in values}, {_written(value) for value in known}
        for value in values:
            if _written(value) in known_texts:
                continue
            if any(_takes(option, value) for option in readers):  # an enum with a case for what is unknown
                rule = Rule.VALUE_ADDED if self._is_maker_new else Rule.VALUE_REMOVED
                found.append(_Found(path, rule, is_breaking=False, detail=_written(value)))
            else:
                found.append(self._written_more(path, *_VALUE, _written(value)))
        return found + [
            self._accepted_more(path, *_VALUE, _written(value))
            for value in known
            if _written(value) not in texts
        ]

    def _default(self, makers: list[Any], readers: list[Any], path: str) -> list[_Found]:
        """A default is the reader's: another one means another thing where a client leaves the field out."""
        if self._is_maker_new or len(makers) != len(readers):
            return []
        was, now = _default_of(makers), _default_of(readers)
        self._count(len(was) // 64)
        if was == now or "" in (was, now):
            return []
        return [_Found(path, Rule.DEFAULT_CHANGED, is_breaking=False, detail=self._was_is(was, now))]

    def _alternatives(self, schema: Any, definitions: Json) -> Iterator[Any]:
        """The schemas of which a value fits one."""
        self._count()
        schema = self._resolved(schema, definitions)
        options = schema.get("anyOf") or schema.get("oneOf")
        if options is None:
            yield schema
            return
        for option in options:
            yield from self._alternatives(option, definitions)

    def _resolved(self, schema: Any, definitions: Json) -> Any:
        """What a reference leads to, with what stands beside it."""
        if schema is True:
            return _ANYTHING
        known = self._merged.get(id(schema))
        if known is not None:
            return known
        end = schema
        while "$ref" in end or len(end.get("allOf", ())) == 1:
            self._count(1 + len(end))
            target = end["allOf"][0] if "allOf" in end else definitions[_name_of(end["$ref"])]
            beside = {word: value for word, value in end.items() if word not in {"$ref", "allOf"}}
            end = {**target, **beside} if beside else target
        self._merged[id(schema)] = end
        return end

    # Two schemas that are no unions.

    def _one(self, maker: Any, reader: Any, path: str) -> list[_Found]:
        made, taken = kind_of(maker), kind_of(reader)
        if made == taken == "anything":
            return []
        if taken == "anything" or (made, taken) == ("integer", "number"):
            was_is = self._was_is(_named(maker), _named(reader))
            return [self._other_type(path, was_is, is_accepted=True)]
        if made == "anything" or (made, taken) == ("number", "integer"):
            was_is = self._was_is(_named(maker), _named(reader))
            return [self._other_type(path, was_is, is_written=True)]
        if made != taken:
            was_is = self._was_is(_named(maker), _named(reader))
            return [_Found(path, Rule.TYPE_CHANGED, is_breaking=True, detail=was_is)]
        found = self._constraints(maker, reader, path)
        if made == "object":
            found += self._objects(maker, reader, path)
        elif made in {"mapping", "map"}:
            if made == "map":
                found += self._pair(maker[_KEYS], reader[_KEYS], f"{path}{{key}}")
            inner = (maker.get("additionalProperties", True), reader.get("additionalProperties", True))
            found += self._pair(*inner, f"{path}{{}}")
        elif made == "tuple":
            found += self._tuples(maker, reader, path)
        elif "items" in maker or "items" in reader:
            found += self._pair(maker.get("items", True), reader.get("items", True), f"{path}[]")
        if _unknown_words(maker) != _unknown_words(reader):
            found.append(_Found(path, Rule.TYPE_CHANGED, is_breaking=True))
        return found

    def _tuples(self, maker: Any, reader: Any, path: str) -> list[_Found]:
        made, taken = maker["prefixItems"], reader["prefixItems"]
        if len(made) != len(taken) or ("items" in maker) != ("items" in reader):
            was_is = self._was_is(f"{len(made)} items", f"{len(taken)} items")
            return [_Found(path, Rule.TYPE_CHANGED, is_breaking=True, detail=was_is)]
        found: list[_Found] = []
        for index, (one, other) in enumerate(zip(made, taken, strict=True)):
            found += self._pair(one, other, f"{path}[{index}]")
        if isinstance(maker.get("items"), dict) and isinstance(reader["items"], dict):
            found += self._pair(maker["items"], reader["items"], f"{path}[]")
        return found

    def _objects(self, maker: Any, reader: Any, path: str) -> list[_Found]:
        made, taken = maker.get("properties", {}), reader.get("properties", {})
        always, needed = frozenset(maker.get("required", ())), frozenset(reader.get("required", ()))
        self._count(len(made) + len(taken) + len(always))
        extra = reader.get("additionalProperties", True)
        found: list[_Found] = []
        for name in sorted({*made, *taken}):
            below = f"{path}.{name}" if path else name
            if name not in made:
                if name in needed:
                    rules = (Rule.FIELD_ADDED_REQUIRED, Rule.FIELD_REMOVED_REQUIRED)
                    found.append(self._lacking(below, *rules, is_breaking=True))
                else:
                    rules = (Rule.FIELD_ADDED, Rule.FIELD_REMOVED)
                    found.append(self._lacking(below, *rules, is_breaking=False))
            elif name not in taken:
                found += self._surplus(made[name], extra, below, name in always)
            else:
                if (name in always) != (name in needed):
                    found.append(self._requirement(below, is_needed=name in needed))
                found += self._pair(made[name], taken[name], below)
        return found + self._extras(maker, reader, path)

    def _lacking(self, path: str, added: Rule, removed: Rule, *, is_breaking: bool) -> _Found:
        """The reader has a field that the maker has not."""
        return _Found(path, removed if self._is_maker_new else added, is_breaking)

    def _surplus(self, schema: Any, extra: Any, path: str, is_required: bool) -> list[_Found]:
        """The maker has a field that the reader has not."""
        if extra is False:
            return [_Found(path, Rule.FIELD_FORBIDDEN, is_breaking=True)]
        if self._is_maker_new:
            rule = Rule.FIELD_ADDED_REQUIRED if is_required else Rule.FIELD_ADDED
        else:
            rule = Rule.FIELD_REMOVED_REQUIRED if is_required else Rule.FIELD_REMOVED
        found = [_Found(path, rule, is_breaking=False)]
        return found + (self._pair(schema, extra, path) if isinstance(extra, dict) else [])

    def _requirement(self, path: str, *, is_needed: bool) -> _Found:
        became_required = is_needed != self._is_maker_new
        return _Found(path, Rule.FIELD_REQUIRED if became_required else Rule.FIELD_OPTIONAL, is_needed)

    def _extras(self, maker: Any, reader: Any, path: str) -> list[_Found]:
        """What may be there besides the fields."""
        made, taken = maker.get("additionalProperties"), reader.get("additionalProperties")
        if isinstance(made, dict) and isinstance(taken, dict):
            return self._pair(made, taken, f"{path}{{}}")
        writes = made is True or isinstance(made, dict)
        if writes and taken is False:
            return [self._written_more(path, Rule.EXTRAS_ALLOWED, Rule.EXTRAS_FORBIDDEN, "")]
        if made is True and isinstance(taken, dict):
            return self._pair(True, taken, f"{path}{{}}")
        if made != taken and False in (made, taken):
            rules = (Rule.EXTRAS_ALLOWED, Rule.EXTRAS_FORBIDDEN)
            allowed_now = (made if self._is_maker_new else taken) is not False
            return [_Found(path, rules[0] if allowed_now else rules[1], is_breaking=False)]
        return []

    def _constraints(self, maker: Any, reader: Any, path: str) -> list[_Found]:
        found = []
        for word in (*_UPPER, *_LOWER, *_EXACT):
            made, taken = maker.get(word), reader.get(word)
            if made == taken or (word in {"minItems", "maxItems"} and "prefixItems" in maker):
                continue
            detail = f"{word} {self._was_is(_bound(made), _bound(taken))}"
            if made is not None and taken is not None and word in _EXACT:
                found.append(_Found(path, Rule.CONSTRAINT_CHANGED, is_breaking=True, detail=detail))
            elif taken is None or (made is not None and (taken > made if word in _UPPER else taken < made)):
                found.append(self._accepted_more(path, Rule.LOOSENED, Rule.TIGHTENED, detail))
            else:
                found.append(self._written_more(path, Rule.LOOSENED, Rule.TIGHTENED, detail))
        return found


_VALUE = (Rule.VALUE_ADDED, Rule.VALUE_REMOVED)
_OPTION = (Rule.OPTION_ADDED, Rule.OPTION_REMOVED)
_ANYTHING: Json = {}
_NEVER = 1 << 60


def _name_of(reference: str) -> str:
    return reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")


def _weight(schema: Any) -> int:
    """How much there is to look at in one schema, but for what is below its fields."""
    return len(schema) + len(schema.get("properties", ())) + len(schema.get("enum", ()))


def _values(schema: Any) -> list[Any] | None:
    """The values of an enum or a literal, or None."""
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return list(values) if values is not None else None


def kind_of(schema: Any) -> str:
    """What a value is, roughly."""
    mark = schema.get(MARK)
    if mark == "json" or not {*schema} - _PROSE - {"default"}:
        return "anything"
    if mark is not None and mark != "str":
        return str(mark)
    if REFUSED in schema:
        return f"refused: {schema[REFUSED]}"
    kind = schema.get("type", "object" if "properties" in schema else "unknown")
    if kind == "string":
        return "str"
    if kind == "array":
        return "tuple" if "prefixItems" in schema else "array"
    if kind == "object" and "properties" not in schema:
        return "mapping"
    return str(kind)


def _named(schema: Any) -> str:
    """What a schema is called in a message."""
    kind = kind_of(schema)
    if kind == "object":
        tags = _tags(schema)
        fields = ", ".join(schema.get("properties", ())) or "nothing"
        return "object with " + (", ".join(f"{name} {value}" for name, value in tags) or fields)
    if kind == "array" and isinstance(schema.get("items"), dict) and "type" in schema["items"]:
        return f"array of {kind_of(schema['items'])}"
    return kind


def _tags(schema: Any) -> list[tuple[str, str]]:
    """The fields of an object that have one possible value: they tell it from others of a union."""
    properties: Json = schema.get("properties", {})
    return [
        (name, _written(field["const"]))
        for name, field in properties.items()
        if isinstance(field, dict) and "const" in field
    ]


def _likeness(schema: Any) -> object:
    """Equal for two options of unions that are likely to be the same one, changed."""
    kind = kind_of(schema)
    return (kind, tuple(_tags(schema))) if kind == "object" else kind


def _are_told_apart(one: list[tuple[str, str]], other: Mapping[str, str]) -> bool:
    """Whether a field with one possible value tells two objects apart, by the tags of both."""
    return any(other.get(name, value) != value for name, value in one)


def _together(options: list[Any], values: list[Any]) -> str:
    """A whole type in a message."""
    names = [_named(option) for option in options]
    return " | ".join([*names, f"one of {', '.join(map(_written, values))}"] if values else names)


def _takes(schema: Any, value: Any) -> bool:
    """Whether a single value fits a schema that is no union."""
    kind = kind_of(schema)
    if kind == "anything":
        return True
    own = _SCALARS.get(type(value))
    if own != kind and (own, kind) != ("integer", "number"):
        return False
    size = len(value) if isinstance(value, str) else 0
    is_long_enough = schema.get("minLength", 0) <= size <= schema.get("maxLength", size)
    return is_long_enough and not any(word in schema for word in ("pattern", "format"))


def _default_of(options: list[Any]) -> str:
    return next((_written(option["default"]) for option in options if "default" in option), "")


def _written(value: Any) -> str:
    return "null" if value is None else repr(value) if not isinstance(value, bool) else str(value).lower()


def _bound(value: Any) -> str:
    return "none" if value is None else str(value)


def _unknown_words(schema: Any) -> dict[str, Any]:
    """What a schema says that no rule here knows."""
    return {
        word: value
        for word, value in schema.items()
        if word not in _KNOWN and (not word.startswith("x-") or word.startswith(MARK))
    }
