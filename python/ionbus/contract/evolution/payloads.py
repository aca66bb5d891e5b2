"""Two schemas of a payload: is each value of the one accepted by the other?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ionbus.contract.evolution.changes import Incomparable, Json, Rule
from ionbus.contract.evolution.schemas import (
    EXACT,
    KEYS,
    LOWER,
    UPPER,
    are_told_apart,
    bound,
    default_of,
    kind_of,
    likeness,
    name_of,
    named,
    tags_of,
    takes,
    together,
    unknown_words,
    values_of,
    weight_of,
    written,
)

MAX_STEPS = 200_000
"""Schemas, fields and values that one comparison looks at in one direction: what a client's description costs is bounded, too."""

_VALUE = (Rule.VALUE_ADDED, Rule.VALUE_REMOVED)
_OPTION = (Rule.OPTION_ADDED, Rule.OPTION_REMOVED)
_ANYTHING: Json = {}
_NEVER = 1 << 60


@dataclass(frozen=True)
class Found:
    """A change in a payload, before it is known which one."""

    path: str
    rule: Rule
    is_breaking: bool
    detail: str = ""


class Walk:
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

    def compare(self, maker: Any, reader: Any, path: str) -> list[Found]:
        """Find what is different between a schema of the maker's and one of the reader's."""
        return self._pair(maker, reader, path)

    # What changes are called.

    def _accepted_more(self, path: str, added: Rule, removed: Rule, detail: str) -> Found:
        """The reader takes more than is written."""
        return Found(path, removed if self._is_maker_new else added, is_breaking=False, detail=detail)

    def _written_more(self, path: str, added: Rule, removed: Rule, detail: str) -> Found:
        """More is written than the reader takes."""
        return Found(path, added if self._is_maker_new else removed, is_breaking=True, detail=detail)

    def _was_is(self, maker: object, reader: object) -> str:
        old, new = (reader, maker) if self._is_maker_new else (maker, reader)
        return f"{old} before, {new} now"

    # Any two schemas.

    def _pair(self, maker: Any, reader: Any, path: str) -> list[Found]:
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

    def _options(self, maker: Any, reader: Any, path: str) -> list[Found]:
        makers = list(self._alternatives(maker, self._maker))
        readers = list(self._alternatives(reader, self._reader))
        self._count(sum(map(weight_of, makers)) + sum(map(weight_of, readers)))
        found = self._default(makers, readers, path)
        values = [value for option in makers for value in values_of(option) or ()]
        known = [value for option in readers for value in values_of(option) or ()]
        makers = [option for option in makers if values_of(option) is None]
        readers = [option for option in readers if values_of(option) is None]
        was_is = self._was_is(together(makers, values), together(readers, known))
        is_one_kind = len(makers) + bool(values) == 1 == len(readers) + bool(known)
        if is_one_kind and values and readers:
            fits = all(takes(readers[0], value) for value in values)
            return [*found, self._other_type(path, was_is, is_accepted=fits)]
        if is_one_kind and makers and known:
            is_related = all(takes(makers[0], value) for value in known)
            return [*found, self._other_type(path, was_is, is_written=is_related)]
        if len(makers) == len(readers) == 1 and not values and not known:
            return found + self._one(makers[0], readers[0], path)
        found += self._constants(values, known, readers, path)
        unused = list(readers)
        likenesses, tags = [likeness(each) for each in readers], [dict(tags_of(each)) for each in readers]
        for option in makers:
            own, own_tags = likeness(option), tags_of(option)
            self._count(len(readers) * (1 + len(own_tags)))
            like = [each for each, its in zip(readers, likenesses, strict=True) if own == its]
            others = [
                each
                for each, its, its_tags in zip(readers, likenesses, tags, strict=True)
                if own != its and not are_told_apart(own_tags, its_tags)
            ]
            fitting = next((each for each in (*like, *others) if self._fits(option, each)), None)
            taken = fitting if fitting is not None else next(iter(like), None)
            if taken is None:
                found.append(self._written_more(path, *_OPTION, named(option)))
                continue
            if taken in unused:
                unused.remove(taken)
            found += self._one(option, taken, path)
        return found + [self._accepted_more(path, *_OPTION, named(option)) for option in unused]

    def _fits(self, maker: Any, reader: Any) -> bool:
        self._count()
        return not any(found.is_breaking for found in self._one(maker, reader, ""))

    def _other_type(
        self, path: str, was_is: str, *, is_accepted: bool = False, is_written: bool = False
    ) -> Found:
        """A type became another: the reader's takes all that is written, or some of it, or nothing."""
        if not is_accepted and not is_written:
            return Found(path, Rule.TYPE_CHANGED, is_breaking=True, detail=was_is)
        rule = Rule.TYPE_WIDENED if is_accepted != self._is_maker_new else Rule.TYPE_NARROWED
        return Found(path, rule, is_breaking=not is_accepted, detail=was_is)

    def _constants(self, values: list[Any], known: list[Any], readers: list[Any], path: str) -> list[Found]:
        """Single values: those of enums and literals."""
        self._count(len(values) * len(readers))
        found = []
        texts, known_texts = {written(value) for value in values}, {written(value) for value in known}
        for value in values:
            if written(value) in known_texts:
                continue
            if any(takes(option, value) for option in readers):  # an enum with a case for what is unknown
                rule = Rule.VALUE_ADDED if self._is_maker_new else Rule.VALUE_REMOVED
                found.append(Found(path, rule, is_breaking=False, detail=written(value)))
            else:
                found.append(self._written_more(path, *_VALUE, written(value)))
        return found + [
            self._accepted_more(path, *_VALUE, written(value))
            for value in known
            if written(value) not in texts
        ]

    def _default(self, makers: list[Any], readers: list[Any], path: str) -> list[Found]:
        """A default is the reader's: another one means another thing where a client leaves the field out."""
        if self._is_maker_new or len(makers) != len(readers):
            return []
        was, now = default_of(makers), default_of(readers)
        self._count(len(was) // 64)
        if was == now or "" in (was, now):
            return []
        return [Found(path, Rule.DEFAULT_CHANGED, is_breaking=False, detail=self._was_is(was, now))]

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
            target = end["allOf"][0] if "allOf" in end else definitions[name_of(end["$ref"])]
            beside = {word: value for word, value in end.items() if word not in {"$ref", "allOf"}}
            end = {**target, **beside} if beside else target
        self._merged[id(schema)] = end
        return end

    # Two schemas that are no unions.

    def _one(self, maker: Any, reader: Any, path: str) -> list[Found]:
        made, taken = kind_of(maker), kind_of(reader)
        if made == taken == "anything":
            return []
        if taken == "anything" or (made, taken) == ("integer", "number"):
            was_is = self._was_is(named(maker), named(reader))
            return [self._other_type(path, was_is, is_accepted=True)]
        if made == "anything" or (made, taken) == ("number", "integer"):
            was_is = self._was_is(named(maker), named(reader))
            return [self._other_type(path, was_is, is_written=True)]
        if made != taken:
            was_is = self._was_is(named(maker), named(reader))
            return [Found(path, Rule.TYPE_CHANGED, is_breaking=True, detail=was_is)]
        found = self._constraints(maker, reader, path)
        if made == "object":
            found += self._objects(maker, reader, path)
        elif made in {"mapping", "map"}:
            if made == "map":
                found += self._pair(maker[KEYS], reader[KEYS], f"{path}{{key}}")
            inner = (maker.get("additionalProperties", True), reader.get("additionalProperties", True))
            found += self._pair(*inner, f"{path}{{}}")
        elif made == "tuple":
            found += self._tuples(maker, reader, path)
        elif "items" in maker or "items" in reader:
            found += self._pair(maker.get("items", True), reader.get("items", True), f"{path}[]")
        if unknown_words(maker) != unknown_words(reader):
            found.append(Found(path, Rule.TYPE_CHANGED, is_breaking=True))
        return found

    def _tuples(self, maker: Any, reader: Any, path: str) -> list[Found]:
        made, taken = maker["prefixItems"], reader["prefixItems"]
        if len(made) != len(taken) or ("items" in maker) != ("items" in reader):
            was_is = self._was_is(f"{len(made)} items", f"{len(taken)} items")
            return [Found(path, Rule.TYPE_CHANGED, is_breaking=True, detail=was_is)]
        found: list[Found] = []
        for index, (one, other) in enumerate(zip(made, taken, strict=True)):
            found += self._pair(one, other, f"{path}[{index}]")
        if isinstance(maker.get("items"), dict) and isinstance(reader["items"], dict):
            found += self._pair(maker["items"], reader["items"], f"{path}[]")
        return found

    def _objects(self, maker: Any, reader: Any, path: str) -> list[Found]:
        made, taken = maker.get("properties", {}), reader.get("properties", {})
        always, needed = frozenset(maker.get("required", ())), frozenset(reader.get("required", ()))
        self._count(len(made) + len(taken) + len(always))
        extra = reader.get("additionalProperties", True)
        found: list[Found] = []
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

    def _lacking(self, path: str, added: Rule, removed: Rule, *, is_breaking: bool) -> Found:
        """The reader has a field that the maker has not."""
        return Found(path, removed if self._is_maker_new else added, is_breaking)

    def _surplus(self, schema: Any, extra: Any, path: str, is_required: bool) -> list[Found]:
        """The maker has a field that the reader has not."""
        if extra is False:
            return [Found(path, Rule.FIELD_FORBIDDEN, is_breaking=True)]
        if self._is_maker_new:
            rule = Rule.FIELD_ADDED_REQUIRED if is_required else Rule.FIELD_ADDED
        else:
            rule = Rule.FIELD_REMOVED_REQUIRED if is_required else Rule.FIELD_REMOVED
        found = [Found(path, rule, is_breaking=False)]
        return found + (self._pair(schema, extra, path) if isinstance(extra, dict) else [])

    def _requirement(self, path: str, *, is_needed: bool) -> Found:
        became_required = is_needed != self._is_maker_new
        return Found(path, Rule.FIELD_REQUIRED if became_required else Rule.FIELD_OPTIONAL, is_needed)

    def _extras(self, maker: Any, reader: Any, path: str) -> list[Found]:
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
            return [Found(path, rules[0] if allowed_now else rules[1], is_breaking=False)]
        return []

    def _constraints(self, maker: Any, reader: Any, path: str) -> list[Found]:
        found = []
        for word in (*UPPER, *LOWER, *EXACT):
            made, taken = maker.get(word), reader.get(word)
            if made == taken or (word in {"minItems", "maxItems"} and "prefixItems" in maker):
                continue
            detail = f"{word} {self._was_is(bound(made), bound(taken))}"
            if made is not None and taken is not None and word in EXACT:
                found.append(Found(path, Rule.CONSTRAINT_CHANGED, is_breaking=True, detail=detail))
            elif taken is None or (made is not None and (taken > made if word in UPPER else taken < made)):
                found.append(self._accepted_more(path, Rule.LOOSENED, Rule.TIGHTENED, detail))
            else:
                found.append(self._written_more(path, Rule.LOOSENED, Rule.TIGHTENED, detail))
        return found
