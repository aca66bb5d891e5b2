"""What adversarial input costs as it grows: each family is run at a size and at four times that, and must not cost more than its size.

A family is a way to make something expensive: many small elements, deep nesting, names that are long or many, hashes that collide,
transfers and lanes by the thousand, patterns, descriptions that refer to themselves. `python -m fuzz.growth` prints the times.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from fuzz.grammar import extension, pack
from fuzz.targets.description import AGREEMENTS, INFO, TEXT
from ionbus.contract.payload import Payload
from ionbus.errors import InvalidPayload
from ionbus.events.patterns import PatternTable
from ionbus.generated.protocol import Limits
from ionbus.session.session import Session
from ionbus.wire import values
from ionbus.wire.messages import encode_result

SIZE: Final = 65_536
"""Bytes of the smaller input; the larger has four times as many."""
TIMES: Final = 4
TOO_MUCH: Final = 3.0
"""So many times as much as its size is too much: what costs the square of it costs four times as much."""
NOTICED: Final = 0.1
"""Seconds below which nobody looks at a ratio."""
PRIME: Final = 2**61 - 1
"""Numbers that differ by a multiple of it have one hash."""

Family = Callable[[int], object]


def _array(count: int) -> bytes:
    return b"\xdd" + struct.pack(">I", count)


def _many(element: bytes, end: bytes = b"") -> Callable[[int], bytes]:
    def make(size: int) -> bytes:
        count = size // len(element)
        return _array(count + bool(end)) + element * count + end

    return make


def _decoded(make: Callable[[int], bytes]) -> Family:
    def run(size: int) -> object:
        try:
            return values.decode(make(size))
        except values.ValueRefused as refused:
            return refused

    return run


def _nested(wrap: bytes, levels: int) -> bytes:
    return wrap * levels + b"\xc0"


def _sets(levels: int) -> bytes:
    nested = b"\xc0"
    for _ in range(levels):
        nested = extension(8, b"\x91" + nested)
    return nested


def _members(code: int, make: Callable[[int], object]) -> Callable[[int], bytes]:
    """A set or mapping of different members."""

    def made(size: int) -> bytes:
        packed = [values.encode(make(number)) for number in range(size // 16)]
        return extension(code, _array(len(packed)) + b"".join(packed))

    return made


def _keys(size: int) -> bytes:
    count = size // 9
    return b"\xdf" + struct.pack(">I", count) + b"".join(b"\xa7%07d\xc0" % number for number in range(count))


def _validated(form: Any, make: Callable[[int], object]) -> Family:
    payload: Payload[Any] = Payload(form, "a.call")

    def run(size: int) -> object:
        try:
            return payload.decode(values.encode(make(size)))
        except InvalidPayload as invalid:
            return invalid

    return run


def _received(make: Callable[[int], bytes], limits: Limits | None = None) -> Family:
    def run(size: int) -> object:
        session = Session(limits or Limits())
        session.attach(0, (0, 0), 0.0)
        frame = make(size)
        return [session.receive_bytes(frame, 0.0), *iter(lambda: session.next_frame(0.0), None)]

    return run


def _frame(element: bytes) -> Callable[[int], bytes]:
    def make(size: int) -> bytes:
        count = size // len(element)
        return _array(count + 3) + b"\x00\x01\x00" + element * count

    return make


def _stalled(size: int) -> object:
    """As many large answers as there are, to a peer that grants nothing, and as many pings of it."""
    count = size // 256
    limits = replace(Limits(), transfer_threshold_bytes=100, transfer_part_bytes=40)
    session = Session(limits)
    session.attach(0, (0, 0), 0.0)
    for number in range(count):
        session.send(encode_result(number + 1, bytes(150)), number)
    for number in range(count):
        session.receive([6, number], 2, 0.0)
        while session.next_frame(0.0) is not None:
            pass
    return session


def _begun(size: int) -> object:
    """As many transfers of a peer that wait for their grant, given up from the last to the first."""
    count = min(size // 32, 10_000)
    session = Session(Limits())
    session.attach(0, (0, 0), 0.0)
    for number in range(count):
        session.receive([0, number + 1, 0, [18, number + 1, 2**28, b"x"]], 20, 0.0)
    for number in range(count):
        session.receive([0, count + number + 1, 0, [21, count - number, "x", ""]], 20, 0.0)
    return session


def _matched(size: int) -> object:
    """1,000 patterns, and a name for each 64 bytes."""
    table: PatternTable[int] = PatternTable()
    for number in range(1_000):
        table.add(number, f"{'*.' * (number % 20)}a{number}.**", number)
    return [table.matching(f"a{number}.b.c.d.e") for number in range(size // 1_024)]


def _described(change: Callable[[dict[str, Any], int], None]) -> Family:
    def run(size: int) -> object:
        description = json.loads(TEXT)
        change(description, size)
        text = json.dumps(description).encode()
        return AGREEMENTS.judge((INFO.name, "0.9", hashlib.sha256(text).hexdigest()[:32]), text)

    return run


def _required(description: dict[str, Any], size: int) -> None:
    names = [f"field{number}" for number in range(size // 40)]
    schema = {
        "type": "object",
        "properties": {name: {"type": "integer"} for name in names},
        "required": names,
    }
    description["$defs"]["Tree-Input"] = schema


def _looped(description: dict[str, Any], size: int) -> None:
    description["$defs"]["Loop"] = {
        "$ref": "#/$defs/Loop",
        **{f"field{number}": 0 for number in range(size // 16)},
    }
    description["members"]["feed"]["request"]["sent"] = {"$ref": "#/$defs/Loop"}


def _doubled(description: dict[str, Any], size: int) -> None:
    levels = size // 64
    for level in range(levels):
        description["$defs"][f"L{level}"] = {"anyOf": [{"$ref": f"#/$defs/L{level + 1}"}] * 2}
    description["$defs"][f"L{levels}"] = {"type": "integer"}
    description["members"]["feed"]["request"]["sent"] = {"$ref": "#/$defs/L0"}


def _enumerated(description: dict[str, Any], size: int) -> None:
    description["$defs"]["E"] = {"enum": list(range(size // 16))}
    description["members"]["feed"]["request"]["sent"] = {"anyOf": [{"$ref": "#/$defs/E"}] * (size // 64)}


FAMILIES: Final[dict[str, Family]] = {
    "nils": _decoded(_many(b"\xc0")),
    "nils, and one byte that is none": _decoded(_many(b"\xc0", b"\xc1")),
    "integers beside the text __proto__": _decoded(_many(b"\x01", pack("__proto__"))),
    "empty lists": _decoded(_many(b"\x90")),
    "empty maps": _decoded(_many(b"\x80")),
    "empty sets": _decoded(_many(extension(8, b"\x90"))),
    "empty mappings": _decoded(_many(extension(9, b"\x90"))),
    "durations": _decoded(_many(extension(4, bytes(8)))),
    "decimals": _decoded(_many(extension(6, b"1E+9999"))),
    "the longest integers": _decoded(_many(extension(5, b"\x7f" + b"\xff" * 1_023))),
    "lists 64 deep": _decoded(_many(_nested(b"\x91", 62))),
    "maps 64 deep": _decoded(_many(_nested(b"\x81\xa1k", 62))),
    "sets 60 deep": _decoded(_many(_sets(60))),
    "lists without end": _decoded(lambda size: _nested(b"\x91", size)),
    "sets without end": _decoded(lambda size: _sets(min(size // 8, 3_000))),
    "keys": _decoded(_keys),
    "one key again and again": _decoded(lambda size: b"\xdf" + struct.pack(">I", size // 3) + b"\xa1k\xc0" * (size // 3)),
    "a long key": _decoded(lambda size: b"\x81" + pack("k" * size) + b"\xc1"),
    "a set of integers": _decoded(_members(8, lambda number: number + 2**40)),
    "a set of integers with one hash": _decoded(_members(8, lambda number: (number + 1) * PRIME)),
    "a mapping with keys of one hash": _decoded(_members(9, lambda number: (number + 1) * PRIME)),
    "items of the wrong type": _validated(list[int], lambda size: ["x"] * (size // 2)),
    "fields that nobody knows": _validated(dict[str, int], lambda size: {f"k{number}": "x" for number in range(size // 8)}),
    "a frame of nils": _received(_frame(b"\xc0")),
    "a frame of unknown messages": _received(_frame(b"\x91\x63")),
    "a list of fingerprints": _received(lambda size: b"\x94\x00\x01\x00\x92\x10" + _array(size) + b"\xa0" * size),
    "options that are wide": _received(lambda size: b"\x94\x00\x01\x00\x94\x01\xa1a\xc4\x00\x81\xa1a" + _array(size // 2) + b"\x91\xc0" * (size // 2)),
    "a deep frame": _received(lambda size: b"\x94\x00\x01\x00" + _nested(b"\x91", size)),
    "pings beside stalled transfers": _stalled,
    "transfers that are begun and given up": _begun,
    "names and patterns": _matched,
    "a description whose fields are all required": _described(_required),
    "a description that refers to itself": _described(_looped),
    "a description that doubles and doubles": _described(_doubled),
    "a description with one enum again and again": _described(_enumerated),
}  # fmt: skip


def seconds(family: Family, size: int, rounds: int = 3) -> float:
    """The processor's time for one size, the best of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        family(size)
        best = min(best, time.process_time() - begun)
        if best > 1.0:
            break
    return best


def measure(name: str) -> tuple[dict[str, float], str | None]:
    """The times of a family in milliseconds, and what is wrong with them."""
    family = FAMILIES[name]
    small, large = seconds(family, SIZE), seconds(family, SIZE * TIMES)
    told = {"ms": round(small * 1_000, 1), f"ms_of_{TIMES}_times": round(large * 1_000, 1)}
    if large > NOTICED and large > small * TIMES * TOO_MUCH:
        return told, f"{name}: {small:.3f} s for {SIZE} bytes, {large:.3f} s for {TIMES} times as many"
    return told, None


def main() -> int:
    """Measure all; a report like that of a target."""
    begun = time.perf_counter()
    measured = {name: measure(name) for name in FAMILIES}
    found = [
        {"kind": "grew", "text": wrong, "hex": ""} for _, wrong in measured.values() if wrong is not None
    ]
    families = {name: told for name, (told, _) in measured.items()}
    took = round(time.perf_counter() - begun, 1)
    json.dump(
        {"inputs": len(FAMILIES) * 2, "seconds": took, "families": families, "found": found}, sys.stdout
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
