"""Filters as people write them: `percent >= 50 and not state in ["a", "b"]`.

```
filter     = term {"or" term}
term       = factor {"and" factor}
factor     = "not" factor | "(" filter ")" | path [comparison]       a path alone: it is true
comparison = ("==" | "!=" | "<" | "<=" | ">" | ">=") value | ["not"] "in" "[" [value {"," value}] "]"
value      = number | text in quotes, as in JSON, or in single ones | "true" | "false" | "null"
path       = name {"." name} | "."                                   a name that is no word stands in backquotes; ".": the payload itself
```
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple, NoReturn

from ionbus.events.filters import MAX_CONDITIONS, MAX_DEPTH, FilterProblem

__all__ = ["parse_filter"]

MAX_TEXT: Final = 16_384
"""Characters of a filter."""

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[^\W\d]\w*(?:-\w+)*)
      | (?P<quoted>`[^`]+`)
      | (?P<sign>==|!=|<=|>=|[<>()\[\],.])
      | (?P<end>\Z)
      | (?P<other>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_VALUES: Final = {"true": True, "false": False, "null": None}
_RESERVED: Final = frozenset({"and", "or", "not", "in", *_VALUES})
_OPERATORS: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})


def parse_filter(text: str) -> Any:
    """Give the filter as plain data (`filters`).

    Raises:
        FilterProblem: the text is no filter; says at which character, counted from 1.
    """
    if len(text) > MAX_TEXT:
        raise FilterProblem(f"a filter has at most {MAX_TEXT} characters")
    return _Parser(text).whole()


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._conditions = 0
        self._next = self._read(0)

    def whole(self) -> Any:
        wanted = self._any_of(1)
        if self._next.kind != "end":
            self._fail("and, or, or the end")
        return wanted

    def _any_of(self, depth: int) -> Any:
        if (
            depth > MAX_DEPTH * 3
        ):  # a bound for this parser: what may nest is bounded where the filter is read
            raise FilterProblem(f"at {self._next.at}: nested too deep")
        parts = [self._all_of(depth)]
        while self._takes("or"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else {"any": parts}

    def _all_of(self, depth: int) -> Any:
        parts = [self._factor(depth)]
        while self._takes("and"):
            parts.append(self._factor(depth))
        return parts[0] if len(parts) == 1 else {"all": parts}

    def _factor(self, depth: int) -> Any:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS * 2:
            raise FilterProblem(f"at {self._next.at}: more than {MAX_CONDITIONS} conditions")
        if self._takes("not"):
            if depth > MAX_DEPTH * 3:
                raise FilterProblem(f"at {self._next.at}: nested too deep")
            return {"not": self._factor(depth + 1)}
        if self._takes("("):
            inner = self._any_of(depth + 1)
            self._expect(")")
            return inner
        path = self._path()
        if self._takes("in"):
            return [path, "in", self._list()]
        if self._takes("not"):
            self._expect("in")
            return {"not": [path, "in", self._list()]}
        if self._next.kind == "sign" and self._next.text in _OPERATORS:
            return [path, self._take().text, self._value()]
        return [path, "==", True]

    def _path(self) -> str:
        if self._takes("."):
            return ""
        names = [self._name()]
        while self._takes("."):
            names.append(self._name())
        return ".".join(names)

    def _name(self) -> str:
        token = self._next
        if token.kind == "quoted":
            if "." in token.text:
                raise FilterProblem(f"at {token.at}: a name with a dot in it cannot be told from two")
            return self._take().text[1:-1]
        if token.kind != "word" or token.text in _RESERVED:
            self._fail("the name of a field")
        return self._take().text

    def _list(self) -> list[Any]:
        self._expect("[")
        values: list[Any] = []
        if not self._takes("]"):
            values.append(self._value())
            while self._takes(","):
                values.append(self._value())
            self._expect("]")
        return values

    def _value(self) -> Any:
        token = self._next
        if token.kind == "word" and token.text in _VALUES:
            return _VALUES[self._take().text]
        if token.kind == "number":
            return _number(self._take())
        if token.kind == "text":
            return _unquoted(self._take())
        return self._fail("a number, a text in quotes, true, false or null")

    # Tokens.

    def _read(self, start: int) -> _Token:
        match = _TOKEN.match(self._text, start)
        assert match is not None  # "other" takes anything
        kind = match.lastgroup or "end"
        self._end = match.end()
        return _Token(kind, match[kind], match.start(kind) + 1)

    def _take(self) -> _Token:
        taken, self._next = self._next, self._read(self._end)
        return taken

    def _takes(self, text: str) -> bool:
        is_next = self._next.kind in ("word", "sign") and self._next.text == text
        if is_next:
            self._take()
        return is_next

    def _expect(self, text: str) -> None:
        if not self._takes(text):
            self._fail(text)

    def _fail(self, expected: str) -> NoReturn:
        token = self._next
        found = "the end" if token.kind == "end" else repr(token.text[:40])
        raise FilterProblem(f"at {token.at}: expected {expected}, not {found}")


def _number(token: _Token) -> int | float:
    try:
        return int(token.text)
    except ValueError:  # more digits than Python reads, or a fraction
        pass
    return float(token.text)


def _unquoted(token: _Token) -> str:
    text = token.text
    if text[0] == "'":
        text = '"' + re.sub(r'\\.|"', _within_double_quotes, text[1:-1], flags=re.DOTALL) + '"'
    try:
        value = json.loads(text, strict=False)
    except ValueError as error:
        raise FilterProblem(f"at {token.at}: {token.text[:40]} is no text: {error}") from None
    assert isinstance(value, str)
    return value


def _within_double_quotes(match: re.Match[str]) -> str:
    return {r"\'": "'", '"': r"\""}.get(match[0], match[0])
