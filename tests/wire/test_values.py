"""Values to bytes and back (docs/protocol.md, section 10).

How schemas/vectors/values.json writes values down, since JSON has few: a value is a JSON scalar, an array, or an object of one key.

    null, true, "text", 12              themselves; a JSON integer is an integer
    {"float": 0.5}                      also "nan", "inf", "-inf"
    {"wide": "9007199254740992"}        an integer outside ±(2^53 - 1)
    {"bytes": "00ff"}                   hexadecimal
    {"record": [["key", value], …]}     a mapping with text keys
    {"mapping": [[key, value], …]}      a mapping with other keys
    {"set": [value, …]}
    {"typed": ["int16", [1, 2]]}        64-bit elements as text
    {"date_time": "…"}, {"date": "…"}, {"time": "…"}, {"decimal": "…"}, {"uuid": "…"}
    {"duration": "1500000"}             microseconds

and where a value is refused: {"nested": 65} (that many lists), {"cycle": "list"}, {"unknown": "object"}.
"""

from __future__ import annotations

import json
import math
import threading
import tomllib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgpack
import pytest
from hypothesis import given, settings, strategies as st

from ionbus.wire import strict, values
from ionbus.wire.extensions import LONG_DECIMAL, MAX_NUMBER_BYTES, MAX_SAME_HASH
from ionbus.wire.values import ValueRefused, decode, encode

TYPECODES = {
    "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I",
    "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip


def build(written: Any) -> Any:
    """The value that is written down."""
    if isinstance(written, list):
        return [build(part) for part in written]
    if not isinstance(written, dict):
        return written
    ((kind, content),) = written.items()
    match kind:
        case "float":
            return float(content)
        case "wide":
            return int(content)
        case "bytes":
            return bytes.fromhex(content)
        case "record":
            return {key: build(member) for key, member in content}
        case "mapping":
            return {hashable(build(key)): build(member) for key, member in content}
        case "set":
            return {hashable(build(member)) for member in content}
        case "typed":
            return array(TYPECODES[content[0]], [int(x) if isinstance(x, str) else x for x in content[1]])
        case "date_time":
            return datetime.fromisoformat(content)
        case "date":
            return date.fromisoformat(content)
        case "time":
            return time.fromisoformat(content)
        case "duration":
            return timedelta(microseconds=int(content))
        case "decimal":
            return Decimal(content)
        case "uuid":
            return UUID(content)
        case "nested":
            nested: Any = None
            for _ in range(content):
                nested = [nested]
            return nested
        case "cycle":
            cycle: list[Any] = []
            cycle.append({"self": [cycle]})
            return cycle
        case "unknown":
            return object()
        case _:
            raise AssertionError(kind)


def hashable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(hashable, value))
    return frozenset(value) if isinstance(value, set) else value


SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
VECTORS = json.loads((SCHEMAS / "vectors" / "values.json").read_text())


def rows(section: str) -> list[Any]:
    return [pytest.param(row, id=row["name"]) for row in VECTORS[section]]


def same(left: Any, right: Any) -> bool:
    """Equality that tells 1 from 1.0 and True, nan from nothing else, and one offset or form of a decimal from another."""
    if type(left) is not type(right):
        return False
    match left:
        case list():
            return len(left) == len(right) and all(map(same, left, right))
        case dict():
            return list(map(repr, left)) == list(map(repr, right)) and all(
                map(same, left.values(), right.values())
            )
        case float():
            return (math.isnan(left) and math.isnan(right)) or (left == right and repr(left) == repr(right))
        case array():
            return bool(left.typecode == right.typecode and left.tobytes() == right.tobytes())
        case datetime() | time():
            return bool(left.isoformat() == right.isoformat())
        case Decimal():
            return str(left) == str(right)
        case _:
            return bool(left == right)


@pytest.mark.parametrize("row", rows("values"))
def test_vector(row: dict[str, Any]) -> None:
    value = build(row["value"])
    assert same(decode(bytes.fromhex(row["wire"])), value)
    if not row.get("decode_only"):
        assert encode(value).hex() == row["wire"]


@pytest.mark.parametrize("row", rows("refused_values"))
def test_refused_value(row: dict[str, Any]) -> None:
    with pytest.raises(ValueRefused) as refused:
        encode(build(row["value"]))
    assert (refused.value.path, refused.value.problem) == (row["path"], row["problem"])
    assert str(refused.value) == (f"{row['path']}: {row['problem']}" if row["path"] else row["problem"])


@pytest.mark.parametrize("row", rows("refused_bytes"))
def test_refused_bytes(row: dict[str, Any]) -> None:
    with pytest.raises(ValueRefused) as refused:
        decode(bytes.fromhex(row["wire"]))
    assert (refused.value.path, refused.value.problem) == (row["path"], row["problem"])


def test_table() -> None:
    table = tomllib.loads((SCHEMAS / "values.toml").read_text())
    numbers = {name: row["extension"] for name, row in table["values"].items() if "extension" in row}
    assert sorted(numbers.values()) == sorted(values.Extension)
    assert (table["max_depth"], table["safe_integer"]) == (values.MAX_DEPTH, values.MAX_SAFE)
    assert (table["max_number_bytes"], table["max_same_hash"]) == (
        MAX_NUMBER_BYTES,
        MAX_SAME_HASH,
    )
    for key in table["refused_keys"]:
        with pytest.raises(ValueRefused, match=key):
            encode({key: 1})
    assert {name: row["python"] for name, row in table["elements"].items()} == TYPECODES
    for row in table["elements"].values():
        elements = array(row["python"], [1])
        assert elements.itemsize == row["bytes"]
        assert encode(elements)[-1 - row["bytes"]] == row["number"]


class Colour(Enum):
    RED = "red"
    NOWHERE = (0, None)
    NEW_YEAR = date(2024, 1, 1)


class Level(IntEnum):
    LOW = 1
    HIGH = 2**60


class Mood(StrEnum):
    GOOD = "good"


class Point(NamedTuple):
    x: int
    y: int


class Shout(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ((1, (2,)), [1, [2]]),
        (Point(1, 2), [1, 2]),
        (Colour.RED, "red"),
        ([Colour.NOWHERE, Colour.NEW_YEAR], [[0, None], date(2024, 1, 1)]),
        ({Colour.RED: Level.LOW, Mood.GOOD: Mood.GOOD}, {"red": 1, "good": "good"}),
        ({Colour.NEW_YEAR: 1, "a": 2}, {date(2024, 1, 1): 1, "a": 2}),
        ([Level.HIGH], [2**60]),
        (OrderedDict(b=1, a=OrderedDict()), {"b": 1, "a": {}}),
        (Shout("hey"), "hey"),
        ({Shout("hey"): Shout("you")}, {"hey": "you"}),
        (bytearray(b"ab"), b"ab"),
        ([memoryview(b"ab")], [b"ab"]),
        (frozenset({1}), {1}),
        ({frozenset({1}): {(1, (2,))}}, {frozenset({1}): {(1, (2,))}}),
        ({(1, 2): None}, {(1, 2): None}),
        ({True: 1, None: 2, b"a": 3}, {True: 1, None: 2, b"a": 3}),
        (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=timezone(timedelta(0)))),
        ("x" * 65_536, "x" * 65_536),
        ([0] * 65_536, [0] * 65_536),
        ({str(key): key for key in range(65_536)}, {str(key): key for key in range(65_536)}),
        (b"\xcf" * 65_536, b"\xcf" * 65_536),
        ([[{"a": 2**53 - 1}]] * 2_000, [[{"a": 2**53 - 1}]] * 2_000),
        ([{"a": {1: 2**53}}, [2**64, {0.5}]] * 200, [{"a": {1: 2**53}}, [2**64, {0.5}]] * 200),
    ],
)  # fmt: skip
def test_becomes(sent: Any, received: Any) -> None:
    assert same(decode(encode(sent)), received)


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        (datetime(1800, 1, 1, tzinfo=timezone(timedelta(minutes=19, seconds=32))), "",
         "its offset from UTC is not a whole number of minutes"),
        ([timedelta.max], "[0]", "a duration beyond 64 bits of microseconds"),
        ([Decimal("1E+10000")], "[0]", LONG_DECIMAL),
        ({"a": Decimal("1" * 1_025)}, "a", LONG_DECIMAL),
        ({"a": array("u", "x")}, "a", None),
        ([msgpack.ExtType(1, b"")], "[0]", "ExtType is not a value that travels"),
        (msgpack.Timestamp(1), "", "Timestamp is not a value that travels"),
        ({Colour.RED: 1, "red": 2}, "", "two keys are equal"),
        ({1: {"x": 1j}}, "[1].x", "complex is not a value that travels"),
        ({"größe": [{"a.b": {1: ...}}]}, '["größe"][0]["a.b"][1]', "ellipsis is not a value that travels"),
        ({date(2024, 1, 1): 1j}, "[key]", "complex is not a value that travels"),
        ({"_id$": ["\udc00"]}, "_id$[0]", "text with a lone surrogate"),
        ([{Mood.GOOD: [Shout("\udc00")]}], "[0].good[0]", "text with a lone surrogate"),
    ],
)  # fmt: skip
def test_refused(value: Any, path: str, problem: str | None) -> None:
    with pytest.raises(ValueRefused) as refused:
        encode(value)
    assert refused.value.path == path
    assert problem is None or refused.value.problem == problem


def test_cycles_of_every_kind_are_refused() -> None:
    twice: list[Any] = []
    twice += [twice, twice]
    mapping: dict[Any, Any] = {1: []}
    mapping[1].append(mapping)
    for value, path in ((twice, "[0]"), (mapping, "[1][0]")):
        with pytest.raises(ValueRefused, match="refers to itself") as refused:
            encode(value)
        assert refused.value.path == path


def nested_sets(levels: int) -> bytes:
    data = b"\xc0"
    for _ in range(levels):
        data = msgpack.packb(msgpack.ExtType(values.Extension.SET, b"\x91" + data))
    return data


def test_sets_within_sets_do_not_use_up_the_stack() -> None:
    """Each used to take 40 KB of it: 1 KB of payload ended the process without an exception."""
    assert str(decode(nested_sets(64))).count("frozenset") == 63
    for levels in (65, 200, 1_000, 20_000):
        with pytest.raises(ValueRefused, match="nested more than 64 deep"):
            decode(nested_sets(levels))


@pytest.mark.parametrize("member", [Decimal("sNaN"), [Decimal("sNaN")]])
@pytest.mark.parametrize("kind", [values.Extension.SET, values.Extension.MAPPING])
def test_a_signaling_nan_is_no_member_and_no_key(member: Any, kind: int) -> None:
    body = encode([member, 1])
    with pytest.raises(ValueRefused, match="a signaling NaN can be neither"):
        decode(msgpack.packb(msgpack.ExtType(kind, body)))


@pytest.mark.parametrize("make", [int, lambda number: UUID(int=number), lambda number: [number]])
@pytest.mark.parametrize("kind", [values.Extension.SET, values.Extension.MAPPING])
def test_members_that_were_chosen_to_collide_are_refused(make: Callable[[int], Any], kind: int) -> None:
    """Looking up each of 20,000 took four seconds, of 80,000 a minute."""

    def packed(count: int) -> bytes:
        body = encode([make((index + 2) * (2**61 - 1)) for index in range(count)])
        data: bytes = msgpack.packb(msgpack.ExtType(kind, body))
        return data

    assert len(decode(packed(MAX_SAME_HASH))) in (MAX_SAME_HASH, MAX_SAME_HASH // 2)  # type: ignore[arg-type]
    with pytest.raises(ValueRefused, match="have the same hash"):
        decode(packed(40_000))


def test_many_members_with_hashes_of_their_own_are_taken() -> None:
    powers = {2.0**exponent for exponent in range(-1_022, 1_024)}  # 61 hashes
    assert decode(encode(powers)) == powers
    keys = {index: index for index in range(100_000)}
    assert decode(encode(keys)) == keys


def test_what_is_shared_is_no_cycle() -> None:
    shared = [2**60]
    assert decode(encode([shared, {"a": shared, "b": shared}])) == [shared, {"a": shared, "b": shared}]


def test_a_refusal_leaves_nothing_behind() -> None:
    for value in ([1, object()], ["\ud800"], {"a": [2**70, 1j]}):
        with pytest.raises(ValueRefused):
            encode(value)
        assert encode([1]) == b"\x91\x01"


def test_threads_do_not_share_a_packer() -> None:
    rounds = 300
    wrong: list[int] = []

    def work(number: int) -> None:
        value = [datetime(2024, 1, 1, second=number, tzinfo=UTC), {"n": [number] * 50}, {number}]
        wrong.extend(round_ for round_ in range(rounds) if decode(encode(value)) != value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- properties ------------------------------------------------------------------------------------------------

offsets = st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
texts = st.text()  # without surrogates
integers = (
    st.integers() | st.integers(-(2**53) - 3, 2**53 + 3) | st.sampled_from([2**53, -(2**53), 2**64, 2**63])
)
hashables: st.SearchStrategy[Hashable] = st.one_of(
    st.none(), st.booleans(), integers, st.floats(allow_nan=False), texts, st.binary(),
    st.dates(), *(
        moments(timezones=offsets).map(lambda moment: moment.replace(fold=0)) for moments in (st.datetimes, st.times)
    ),
    st.timedeltas(timedelta(microseconds=-(2**63)), timedelta(microseconds=2**63 - 1)),
    st.decimals(allow_nan=False).filter(lambda number: not number.is_finite() or abs(number.adjusted()) < 9_000),
    st.uuids(),
)  # fmt: skip
arrays = st.one_of(
    *(
        st.lists(st.integers(low, high)).map(lambda members, code=code: array(code, members))  # type: ignore[misc]
        for code, low, high in [
            ("b", -128, 127),
            ("B", 0, 255),
            ("h", -(2**15), 2**15 - 1),
            ("Q", 0, 2**64 - 1),
        ]
    ),
    st.lists(st.floats(width=64, allow_nan=False)).map(lambda members: array("d", members)),
)
leaves = hashables | arrays | st.just(float("nan"))
any_value: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(texts.filter(lambda key: key != "__proto__"), inner),
        st.dictionaries(hashables.filter(lambda key: not isinstance(key, str)), inner),
        st.sets(hashables),
    ),
    max_leaves=25,
)


@given(any_value)
@settings(max_examples=300, deadline=None)
def test_round_trip(value: Any) -> None:
    data = encode(value)
    back = decode(data)
    assert encode(back) == data or isinstance_of_set(value)
    if not isinstance_of_set(value):
        assert same(back, value)


def isinstance_of_set(value: Any) -> bool:
    """Whether a set is in it, whose order is its own."""
    match value:
        case set():
            return True
        case list():
            return any(map(isinstance_of_set, value))
        case dict():
            return any(map(isinstance_of_set, value.values()))
        case _:
            return False


@given(any_value)
@settings(max_examples=300, deadline=None)
def test_the_slow_way_says_the_same(value: Any) -> None:
    data = encode(value)
    assert values.encode_plain(strict.lowered(value, None, 0, set())) == data
    reader = strict.StrictReader(data)
    assert same_or_set(reader.value(None, 0), decode(data))
    assert reader.at == len(data)


def same_or_set(left: Any, right: Any) -> bool:
    return same(left, right) or (repr(left) == repr(right))


@pytest.mark.slow
@given(any_value, st.randoms(use_true_random=False))
@settings(max_examples=500, deadline=None)
def test_damage_is_refused_or_is_another_value(value: Any, random: Any) -> None:
    """Whatever arrives, `decode` gives a value or ValueRefused, and the strict reader agrees."""
    data = bytearray(encode(value))
    for _ in range(random.randint(1, 3)):
        index = random.randrange(len(data))
        match random.randrange(3):
            case 0:
                data[index] = random.randrange(256)
            case 1:
                del data[index:]
                data += bytes(random.randrange(256) for _ in range(random.randint(1, 4)))
            case _:
                data.insert(index, random.choice([0xCF, 0xD3, 0xC7, 0xD6, 0xFF, 0x81, 0x91, 0xC4]))
    agree(bytes(data))


@given(st.binary(max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    agree(data)


HEADS = st.sampled_from(
    [0x01, 0x1F, 0x81, 0x82, 0x91, 0x92, 0x9F, 0xA1, 0xC0, 0xC4, 0xC7, 0xCB, 0xCF, 0xD3, 0xD4, 0xD6, 0xDC, 0xDE, 0xFF]
)  # fmt: skip


@given(
    st.lists(HEADS, max_size=90), st.integers(0, 70), st.sampled_from([b"", b"\xa9__proto__", b"\xc4\x01k"])
)
@settings(max_examples=1000, deadline=None)
def test_a_look_at_the_bytes_alone_lets_nothing_through(heads: list[int], depth: int, key: bytes) -> None:
    agree(bytes(heads))
    agree(b"\x91" * depth + bytes(heads))
    agree(b"\x81" + key + b"\x91" * depth + b"\x01")


def agree(data: bytes) -> None:
    try:
        value = strict.StrictReader(data).whole()
    except ValueRefused:
        with pytest.raises(ValueRefused):
            decode(data)
    else:
        assert same_or_set(decode(data), value)


def test_uuid_is_a_uuid_of_the_standard_library() -> None:
    assert type(decode(encode(UUID(int=1)))) is UUID


MANY = 4_194_304


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        b"\xdd" + (MANY + 1).to_bytes(4, "big") + b"\x01" * (MANY + 1),
        b"\xdd" + (2**32 - 1).to_bytes(4, "big") + b"\x01" * (MANY + 1),
        b"\x93" + (b"\xdd" + (MANY // 3).to_bytes(4, "big") + b"\x80" * (MANY // 3)) * 3,
        b"\xc9" + (MANY + 6).to_bytes(4, "big") + b"\x08\xdd" + (MANY + 1).to_bytes(4, "big") + b"\x01" * (MANY + 1),
    ],
    ids=["an array", "an array that says it is longer", "maps in arrays", "a set"],
)  # fmt: skip
def test_a_payload_of_more_values_than_memory_should_hold_is_refused(data: bytes) -> None:
    with pytest.raises(ValueRefused, match="more than 4194304 values"):
        decode(data)


def test_many_bytes_in_few_values_are_taken() -> None:
    value = [bytes(3_000_000), {"text": "t" * 3_000_000}, [1, 2, {"three": 3}]]
    assert decode(encode(value)) == value
