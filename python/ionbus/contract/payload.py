"""One payload of a contract: its type, and how values of it become bytes and come back, validated both ways.

On sending, the value is validated anew even where it is an instance already: models can be built with
`model_construct` or changed after they were made. That costs about a microsecond for a small model, less than dumping
it and validating the dump, and what is sent is the dump of what came out of validation. Where the type allows, validation gives that
dump itself (`direct`).
On the wire each field has one spelling, the one that the model serialises it under; it is read under the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import InvalidOperation
from typing import Any, Final, Generic, NoReturn, TypeVar, cast

from pydantic import TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import ValidationError
from typing_extensions import TypeForm

from ionbus.contract.policy import AS_THE_MODELS_SAY, Policy
from ionbus.contract.validators import Validators, validators_of
from ionbus.contract.wire_form import wire_schema
from ionbus.errors import InvalidPayload, shortened
from ionbus.wire.pieces import Encoded, Pieces
from ionbus.wire.strict import LONGEST_KEY
from ionbus.wire.values import MAX_SAFE, KeyedMapping, ValueRefused, decode, encode_in_pieces

__all__ = ["Payload"]

T = TypeVar("T")

SENDING = "payload refused before it was sent"
ARRIVING = "payload refused on arrival"

MAX_TOLD = 100
"""Problems of one payload that are told."""
MAX_READ = 10_000
"""Problems of one payload that are looked at one by one."""
LONGEST = 1_000
"""Characters of one problem."""

# An integer outside ±MAX_SAFE travels as extension type 5, of 7 bytes or more (docs/protocol.md, section 10).
_PERHAPS_LARGE = re.compile(rb"\xc7[\x07-\xff]\x05|[\xd7\xd8]\x05|\xc8..\x05", re.DOTALL)

_SEARCHED_BYTES: Final = 4_096
"""Shorter payloads are searched whatever they are made of."""

_MAX_PARTS: Final = 256


class Payload(Generic[T]):
    """The type of one payload, with its validator and serialiser.

    Args:
        form: anything that pydantic can validate.
        where: what the payload belongs to, e.g. "conductor.execute"; errors begin with it.

    Raises:
        pydantic.errors.PydanticUserError: pydantic cannot validate this type.
    """

    __slots__ = ("_adapter", "_validate", "_validators", "encode", "form", "policy", "where")

    form: Any
    where: str
    policy: Policy
    """Of its contract, which sets it before the payload is used."""
    encode: Callable[[object], Encoded]
    """Validate a value and give its bytes on the wire. Raises InvalidPayload where it does not fit the type, or holds what cannot travel."""

    def __init__(self, form: TypeForm[T], where: str = "") -> None:
        self.form = form
        self.where = where
        self.policy = AS_THE_MODELS_SAY
        self._adapter: TypeAdapter[T] = TypeAdapter(form)
        self._validate: Callable[..., T] | None = None
        self._validators: Validators | None = None
        self.encode = self._encode

    def __repr__(self) -> str:
        return f"Payload({self.form!r}, where={self.where!r})"

    @property
    def core_schema(self) -> Mapping[str, Any]:
        """The pydantic core schema that payloads are validated by, in the wire's spelling."""
        self._complete()
        return cast("Mapping[str, Any]", wire_schema(self.policy.applied(self._adapter.core_schema)))

    @property
    def is_direct(self) -> bool:
        """Whether valid values become plain data in one step; those of other types are made anew, dumped and looked through."""
        self.prepare()
        return self.encode != self._encode

    def prepare(self) -> None:
        """Make what the first use would make.

        Raises:
            TypeError: the type names what is not known.
        """
        if self._validate is None:
            self._build()

    @property
    def check(self) -> Callable[..., T]:
        """pydantic's own validator, for who calls it often: `check(value, by_alias=True, by_name=True)`, and `validate`
        where it raises, which says what is wrong."""
        self.prepare()
        assert self._validate is not None
        return self._validate

    def validate(self, value: object) -> T:
        """Validate a value that has not travelled as bytes, instances of models included.

        Raises:
            InvalidPayload: the value does not fit the type.
        """
        return self._checked(value, SENDING, by_name=True)

    def dump(self, value: object) -> object:
        """Validate a value and give it as plain data: dicts, lists, text, numbers, bytes, dates and the like.

        Raises:
            InvalidPayload: the value does not fit the type.
        """
        validated = self._checked(value, SENDING, by_name=True)
        validators = self._validators
        assert validators is not None
        try:
            return validators.to_python(validated, by_alias=True, warnings=False)
        except (TypeError, ValueError) as error:
            raise _refusal(self.where, "", str(error), SENDING) from error

    def plain(self, value: object) -> object:
        """`dump`, in one step where the type allows it.

        Raises:
            InvalidPayload: the value does not fit the type.
        """
        self.prepare()
        assert self._validators is not None
        direct = self._validators.direct
        if direct is not None:
            try:
                return direct.validate(value)
            except (ValueError, TypeError, OverflowError):
                pass
        return self.dump(value)

    def _encode(self, value: object) -> Encoded:
        """`encode`, the usual way."""
        return self.encode_plain(self.dump(value))

    def encode_plain(self, dumped: object) -> Encoded:
        """The bytes of what `plain` gave.

        Raises:
            InvalidPayload: it holds what cannot travel.
        """
        try:
            encoded = encode_in_pieces(dumped)
        except ValueRefused as refused:
            raise _refusal(self.where, refused.path, refused.problem, SENDING) from None
        assert self._validators is not None
        if isinstance(encoded, Pieces):  # bytes, and nothing else
            return encoded
        if not self._validators.has_wide_integers and _may_hold_large(encoded, dumped):
            for path in _large_integers(dumped, ""):
                raise _refusal(self.where, path.removeprefix("."), _TOO_LARGE_INTEGER, SENDING)
        return encoded

    def decode(self, data: bytes) -> T:
        """Read bytes from the wire and validate what is in them.

        Raises:
            InvalidPayload: the bytes are no value, or the value does not fit the type.
        """
        try:
            value = decode(data)
        except ValueRefused as refused:
            raise _refusal(self.where, refused.path, refused.problem, ARRIVING) from None
        validate = self._validate
        if validate is None:
            return self._checked(value, ARRIVING)
        try:
            return validate(value, by_alias=True)
        except (ValidationError, InvalidOperation) as error:
            self._refuse(error, ARRIVING)

    def decode_batch(self, data: bytes) -> list[T]:
        """`decode` an array of values, as a batch brings it."""
        try:
            values = decode(data)
        except ValueRefused as refused:
            raise _refusal(self.where, refused.path, refused.problem, ARRIVING) from None
        if not isinstance(values, list):
            raise _refusal(self.where, "", "a batch is a list", ARRIVING)
        return [self._checked(value, ARRIVING) for value in values]

    def _build(self) -> None:
        """Make the validator of the wire's spelling, at the first use: a contract has many types, and the types may not be complete yet."""
        self._complete()
        validators = self._validators = validators_of(self._adapter, self.policy)
        self._validate = validators.validate
        if validators.direct is not None:
            self.encode = validators.direct.encoder(self._encode)

    def _complete(self) -> None:
        if self._adapter.pydantic_complete:
            return
        try:
            self._adapter.rebuild(raise_errors=True)
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:
            raise TypeError(
                f"{self.where}: the type {self.form!r} names what is not known; declare that above the contract, "
                "and give the class itself"
            ) from error

    def _checked(self, value: object, when: str, *, by_name: bool | None = None) -> T:
        validate = self._validate
        if validate is None:
            self._build()
            validate = self._validate
            assert validate is not None
        try:
            return validate(value, by_alias=True, by_name=by_name)
        except (ValidationError, InvalidOperation) as error:
            self._refuse(error, when)

    def _refuse(self, error: ValidationError | InvalidOperation, when: str) -> NoReturn:
        """Raise what validation says, with the paths to what it does not like."""
        if isinstance(error, InvalidOperation):  # of a signaling NaN, which no validator expects
            raise _refusal(self.where, "", "a decimal that cannot be compared with anything", when) from None
        count = error.error_count()
        if count > MAX_READ:  # to make a list of them takes longer than to find them
            raise _refusal(self.where, "", f"{count} problems, more than are told one by one", when) from None
        problems = error.errors(include_url=False, include_input=False, include_context=False)[:MAX_TOLD]
        paths = [(path_text(problem["loc"]), _told(problem["msg"])) for problem in problems]
        raise _refusal(self.where, *paths[0], when, paths, count) from error


def decode_any(data: bytes, where: str) -> Any:
    """Read bytes from the wire of which no type is known.

    Args:
        data: the payload.
        where: what it belongs to, for the error.

    Raises:
        InvalidPayload: the bytes are no value.
    """
    try:
        return decode(data)
    except ValueRefused as refused:
        raise _refusal(where, refused.path, refused.problem, ARRIVING) from None


def _refusal(
    where: str, path: str, problem: str, when: str, paths: list[tuple[str, str]] | None = None, count: int = 1
) -> InvalidPayload:
    paths = paths or [(path, problem)]
    more = f", and {count - 1} more" if count > 1 else ""
    head = "".join(f"{part}: " for part in (where, path) if part)
    return InvalidPayload(f"{head}{problem}{more} ({when})", paths=paths)


_TOO_LARGE_INTEGER = "an integer outside ±(2^53 - 1) loses digits in JavaScript; send it as text"


_BEYOND_JAVASCRIPT: Final = frozenset(
    {
        f"Input should be less than or equal to {MAX_SAFE}",
        f"Input should be greater than or equal to {-MAX_SAFE}",
    }
)
"""How pydantic says it."""


def _told(problem: str) -> str:
    return _TOO_LARGE_INTEGER if problem in _BEYOND_JAVASCRIPT else shortened(problem, LONGEST)


def path_text(location: tuple[int | str, ...]) -> str:
    """Write a location as a person would: `flow.nodes[2].id`."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            step = shortened(step, LONGEST_KEY)
            text += f".{step}" if text else step
    return text


def _may_hold_large(encoded: bytes, dumped: object) -> bool:
    """Whether it is worth a look at each value for integers that JavaScript's numbers cannot hold.

    To look at each byte takes ten nanoseconds: two seconds for 200 MB that are one byte string.
    """
    if b"\x05" not in encoded:  # the number of their extension type
        return False
    if len(encoded) > _SEARCHED_BYTES:
        parts = (
            dumped.values() if isinstance(dumped, dict) else dumped if isinstance(dumped, list) else [dumped]
        )
        if len(parts) <= _MAX_PARTS:
            whole = sum(len(part) for part in parts if isinstance(part, (bytes, str)))
            if whole * 16 > len(encoded) * 15:  # then the others are few
                return True
    return _PERHAPS_LARGE.search(encoded) is not None


def _large_integers(value: object, path: str) -> Iterator[str]:
    """Find the integers that JavaScript's numbers cannot hold."""
    if isinstance(value, int):
        if not -MAX_SAFE <= value <= MAX_SAFE:
            yield path
    elif isinstance(value, KeyedMapping):
        yield from _large_integers(value.entries, path)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _large_integers(key, f"{path}.{key}")
            yield from _large_integers(part, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _large_integers(part, f"{path}[{index}]")
    elif isinstance(value, (set, frozenset)):
        for part in value:
            yield from _large_integers(part, path)
