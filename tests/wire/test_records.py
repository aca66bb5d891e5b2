"""Records on a pipe (docs/protocol.md, section 2.2)."""

import itertools
import json
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given, strategies as st

from ionbus.generated.protocol import Record as RecordKind
from ionbus.wire.records import HEADER_BYTES, MalformedRecord, Record, RecordReader, encode_record


class RecordFields(TypedDict):
    """One record of a vector; `body` in hexadecimal digits."""

    kind: int
    channel: int
    body: str


class GoodVector(TypedDict):
    """A stream in hexadecimal digits, and the records in it."""

    name: str
    bytes: str
    records: list[RecordFields]


class BadVector(TypedDict):
    """A stream in hexadecimal digits, and what is wrong with it."""

    name: str
    bytes: str
    error: str


VECTORS = json.loads((Path(__file__).parents[2] / "schemas/vectors/records.json").read_text())
GOOD = [pytest.param(vector, id=vector["name"]) for vector in VECTORS if "records" in vector]
BAD = [pytest.param(vector, id=vector["name"]) for vector in VECTORS if "error" in vector]


def expected(vector: GoodVector) -> list[Record]:
    return [
        Record(RecordKind(each["kind"]), each["channel"], bytes.fromhex(each["body"]))
        for each in vector["records"]
    ]


@pytest.mark.parametrize("vector", GOOD)
def test_vector_is_read(vector: GoodVector) -> None:
    assert RecordReader().feed(bytes.fromhex(vector["bytes"])) == expected(vector)


@pytest.mark.parametrize("vector", GOOD)
def test_vector_is_read_however_it_is_cut(vector: GoodVector) -> None:
    stream = bytes.fromhex(vector["bytes"])
    for cut in range(len(stream) + 1):
        reader = RecordReader()
        assert reader.feed(stream[:cut]) + reader.feed(stream[cut:]) == expected(vector), f"cut at {cut}"
    reader = RecordReader()
    assert [record for at in range(len(stream)) for record in reader.feed(stream[at : at + 1])] == expected(
        vector
    )


@pytest.mark.parametrize("vector", GOOD)
def test_vector_is_written(vector: GoodVector) -> None:
    stream = bytes.fromhex(vector["bytes"])
    written = b"".join(encode_record(*record) for record in expected(vector))
    assert stream.startswith(written)
    reader = RecordReader()
    reader.feed(stream)
    assert reader.carried == stream[len(written) :]


@pytest.mark.parametrize("vector", BAD)
def test_bad_vector_is_refused_however_it_is_cut(vector: BadVector) -> None:
    stream = bytes.fromhex(vector["bytes"])
    for cut in range(len(stream) + 1):
        reader = RecordReader()
        with pytest.raises(MalformedRecord, match=vector["error"]):  # noqa: PT012 - either call may raise
            reader.feed(stream[:cut])
            reader.feed(stream[cut:])


def test_the_largest_record_passes_and_one_byte_more_does_not() -> None:
    largest = encode_record(RecordKind.DATA, 7, bytes(100))
    assert RecordReader(max_body_bytes=100).feed(largest) == [Record(RecordKind.DATA, 7, bytes(100))]
    too_large = encode_record(RecordKind.DATA, 7, bytes(101))
    with pytest.raises(MalformedRecord, match="5 to 105, not 106"):
        RecordReader(max_body_bytes=100).feed(too_large[:HEADER_BYTES])


def test_a_large_record_in_small_pieces() -> None:
    body = bytes(range(256)) * 4096
    stream = encode_record(RecordKind.DATA, 1, body) + encode_record(RecordKind.CLOSE, 1, b"\x90")
    reader = RecordReader()
    records = [record for at in range(0, len(stream), 4093) for record in reader.feed(stream[at : at + 4093])]
    assert records == [Record(RecordKind.DATA, 1, body), Record(RecordKind.CLOSE, 1, b"\x90")]
    assert reader.carried == b""


records_of_any_kind = st.lists(
    st.tuples(st.sampled_from(RecordKind), st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=8
)


@given(records=records_of_any_kind, cuts=st.lists(st.integers(0, 3000), max_size=12))
def test_any_records_in_any_pieces(records: list[tuple[RecordKind, int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(encode_record(*record) for record in records)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = RecordReader()
    read = [record for start, end in itertools.pairwise(edges) for record in reader.feed(stream[start:end])]
    assert read == records


@given(chunks=st.lists(st.binary(max_size=64), max_size=20))
def test_garbage_never_grows_beyond_the_bound(chunks: list[bytes]) -> None:
    reader = RecordReader(max_body_bytes=64)
    try:
        for chunk in chunks:
            reader.feed(chunk)
            assert len(reader.carried) < HEADER_BYTES + 64
    except MalformedRecord:
        pass
