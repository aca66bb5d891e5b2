"""Values out of any bytes: a value of the table, which goes back into bytes, or ValueRefused."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fuzz.canonical import canonical, has_twice
from fuzz.driver import Outcome, Target, corpus
from ionbus.wire import values
from ionbus.wire.strict import StrictReader
from ionbus.wire.values import ValueRefused

VECTORS = Path(__file__).resolve().parents[3] / "schemas" / "vectors"
ALWAYS = 100
"""What has more bytes is compared one time in four: it takes ten times as long as to decode it."""
_OWN = re.compile(r"'[^']*'|\d+")


def seeds() -> list[bytes]:
    """Every value of the vectors, right and wrong."""
    rows = json.loads((VECTORS / "values.json").read_text())
    return [
        bytes.fromhex(row["wire"])
        for section in ("values", "refused_bytes")
        for row in rows[section]
        if len(row["wire"]) < 1_000
    ]


def run(data: bytes) -> Outcome:
    """Decode; what is a value is encoded and decoded again, and read by the strict reader."""
    try:
        value = values.decode(data)
    except ValueRefused as refused:
        return Outcome(f"refused: {_OWN.sub('#', refused.problem)}")
    if len(data) > ALWAYS and data[len(data) // 2] % 4:
        return Outcome(shape(value))
    text = canonical(value)
    assert canonical(values.decode(values.encode(value))) == text, "it is another one after a trip"
    try:
        strict = canonical(StrictReader(data).whole())
    except ValueRefused:
        assert has_twice(data), "the strict reader refuses it"
        return Outcome("a key stands twice")
    assert strict == text, "the two ways of reading disagree"
    return Outcome(shape(value))


def shape(value: object, depth: int = 3) -> str:
    """The types of a value and of what is in it, so that another kind of value is another outcome."""
    kind = type(value).__name__
    if depth == 0 or not isinstance(value, (list, dict, set)):
        return kind
    parts = {shape(part, depth - 1) for part in (value.values() if isinstance(value, dict) else value)}
    return f"{kind}[{' '.join(sorted(parts)[:3])}]"


def target() -> Target:
    """See the module."""
    return Target("payload", run, [*seeds(), *corpus("payload").values()], longest=400)
