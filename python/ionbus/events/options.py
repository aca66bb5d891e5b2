"""What a subscription may ask for besides its events: which of them, how often, and how many at a time (docs/aggregation.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from ionbus.contract.payload import Payload
from ionbus.events.fields import Fields
from ionbus.events.filter_text import parse_filter
from ionbus.events.filters import FilterData, FilterProblem, plain_filter, read_filter, read_path
from ionbus.events.recorded import recorded
from ionbus.wire.values import ValueRefused, decode, encode

__all__ = ["Aggregation", "Where", "aggregation"]

P = TypeVar("P")

Where: TypeAlias = Callable[[P], bool]
"""A function that describes a filter: what it gives is never a truth, and one to type checkers."""

MAX_EVERY_MS: Final = 3_600_000
MAX_BATCH: Final = 10_000
MAX_BATCH_MS: Final = 3_600_000
MAX_KEYS: Final = 8
"""Fields of `latest_by`."""
MAX_FILTER_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Aggregation:
    """What a subscription asks for; two that ask for the same are equal.

    Attributes:
        every_ms: at most one value in so many milliseconds, the newest, of each key where there are keys.
        latest_by: the fields that tell values apart: of each key the newest takes the place of one that still waits.
        batch: so many values at a time, or as many as there are after so many milliseconds.
        where: a filter, as it travels.
        is_distinct: no value that is the same as the one before, of its key.
    """

    every_ms: int | None = None
    latest_by: tuple[tuple[str, ...], ...] = ()
    batch: tuple[int, int] | None = None
    where: bytes | None = None
    is_distinct: bool = False

    def __bool__(self) -> bool:
        return self != _NOTHING

    @property
    def filter(self) -> FilterData | None:
        """The filter as plain data."""
        return None if self.where is None else decode(self.where)  # type: ignore[return-value] # `read_filter` looks

    def to_wire(self) -> dict[str, object]:
        """The options of SUBSCRIBE (docs/protocol.md, section 5.2)."""
        options: dict[str, object] = {}
        if self.every_ms is not None:
            options["every"] = self.every_ms
        if self.latest_by:
            options["latest_by"] = [".".join(path) for path in self.latest_by]
        if self.batch is not None:
            options["batch"] = list(self.batch)
        if self.where is not None:
            options["where"] = self.where
        if self.is_distinct:
            options["distinct"] = True
        return options

    @classmethod
    def from_wire(cls, options: Mapping[str, object]) -> Aggregation:
        """Read the options of SUBSCRIBE; others are left alone.

        Raises:
            FilterProblem: one is malformed, or out of bounds.
        """
        every, batch, where = options.get("every"), options.get("batch"), options.get("where")
        if batch is not None and not (isinstance(batch, list) and len(batch) == 2):
            raise FilterProblem(f"batch: [count, milliseconds], not {batch!r:.60}")
        if where is not None:
            if not isinstance(where, bytes):
                raise FilterProblem("where: a filter is the bytes of a value")
            if len(where) > MAX_FILTER_BYTES:
                raise FilterProblem(f"where: a filter has at most {MAX_FILTER_BYTES} bytes")
            try:
                read_filter(decode(where))
            except ValueRefused as refused:
                raise FilterProblem(f"where: {refused.problem}") from None
        keys = options.get("latest_by")
        distinct = options.get("distinct", False)
        if not isinstance(distinct, bool):
            raise FilterProblem(f"distinct: true or false, not {distinct!r:.60}")
        return cls(
            None if every is None else _whole(every, "every", MAX_EVERY_MS, "milliseconds"),
            () if keys is None else _paths([keys] if isinstance(keys, str) else keys),
            None
            if batch is None
            else (
                _whole(batch[0], "batch", MAX_BATCH, "values"),
                _whole(batch[1], "batch", MAX_BATCH_MS, "milliseconds"),
            ),
            where,
            distinct,
        )


_NOTHING: Final = Aggregation()


def aggregation(
    every: float | None = None,
    latest_by: str | Sequence[str] | None = None,
    batch: tuple[int, float] | None = None,
    where: Where[Any] | FilterData | str | None = None,
    distinct: bool = False,
    payload: Payload[Any] | None = None,
) -> Aggregation:
    """Read what a user asks for.

    Args:
        every: at most one value in so many seconds, the newest.
        latest_by: a field, or several, spelled as on the wire: of each key the newest.
        batch: so many values at a time, or as many as there are after so many seconds.
        where: which values; a function that describes it, plain data (`filters`) or text (`filter_text`).
        distinct: no value that is the same as the one before.
        payload: of the event that it is for; None: for many.

    Raises:
        FilterProblem: something is malformed, or does not fit the event's payload.
    """
    fields = None if payload is None or (where is None and latest_by is None) else Fields(payload)
    packed = None
    if where is not None:
        if callable(where):
            if payload is None:
                raise FilterProblem(
                    "a filter for many events is data or text; a function describes the payload of one"
                )
            data = recorded(where, payload)
        else:
            data = parse_filter(where) if isinstance(where, str) else where
        wanted = read_filter(data)
        if fields is not None:
            fields.fitted(wanted)
        try:
            packed = encode(plain_filter(wanted))
        except ValueRefused as refused:
            raise FilterProblem(f"where: {refused.problem}") from None
    keys = () if latest_by is None else _paths([latest_by] if isinstance(latest_by, str) else latest_by)
    if fields is not None:
        for path in keys:
            fields.check_path(path)
    given: object = batch
    if given is not None and not (isinstance(given, (tuple, list)) and len(given) == 2):
        raise FilterProblem(f"batch={given!r:.60}: a pair of a count and seconds")
    return Aggregation(
        None if every is None else _milliseconds(every, "every", MAX_EVERY_MS),
        keys,
        None
        if batch is None
        else (_whole(batch[0], "batch", MAX_BATCH, "values"), _milliseconds(batch[1], "batch", MAX_BATCH_MS)),
        packed,
        bool(distinct),
    )


def _milliseconds(seconds: object, what: str, most: int) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
        raise FilterProblem(f"{what}={seconds!r:.60}: seconds, from 0.001 to {most // 1000}")
    milliseconds = round(seconds * 1000)
    if not 1 <= milliseconds <= most:
        raise FilterProblem(f"{what}={seconds!r:.60}: seconds, from 0.001 to {most // 1000}")
    return milliseconds


def _whole(value: object, what: str, most: int, unit: str) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise FilterProblem(f"{what}: {unit} from 1 to {most}, not {value!r:.60}")
    return value


def _paths(keys: object) -> tuple[tuple[str, ...], ...]:
    if not isinstance(keys, (list, tuple)) or not 0 < len(keys) <= MAX_KEYS:
        raise FilterProblem(f"latest_by: 1 to {MAX_KEYS} fields, not {keys!r:.60}")
    return tuple(read_path(key, "latest_by") for key in keys)
