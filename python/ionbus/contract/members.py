"""The members of a contract: events, calls and streams, as descriptors that carry their types.

A descriptor is made in the body of a contract class and gets its name and contract when that class is made.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence, Set as AbstractSet
from contextlib import contextmanager
from dataclasses import fields as dataclass_fields, is_dataclass
from operator import attrgetter
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    TypeAlias,
    TypeGuard,
    Union,
    cast,
    get_args,
    get_origin,
    overload,
)

from pydantic import BaseModel
from pydantic.errors import PydanticUserError
from typing_extensions import TypeForm, TypeVar, is_typeddict

from ionbus.contract.contract_error import ContractError
from ionbus.contract.payload import Payload
from ionbus.contract.received import Received

if TYPE_CHECKING:
    from ionbus.contract.contract import ContractInfo

__all__ = ["Call", "Delivery", "Event", "Member", "ServedBy", "Source", "Stream", "read_roles"]

Source: TypeAlias = Literal["broker", "client", "any"]
"""Who may publish an event."""
ServedBy: TypeAlias = Literal["broker", "client"]
"""Who handles a call or a stream."""
Delivery: TypeAlias = Literal["session", "volatile", "latest"]
"""What is promised about an event's delivery."""

T = TypeVar("T")
U = TypeVar("U")
P = TypeVar("P")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")
SourceT_co = TypeVar("SourceT_co", bound=Source, covariant=True, default=Source)
ServedByT_co = TypeVar("ServedByT_co", bound=ServedBy, covariant=True, default=ServedBy)

_ROLE: Final = re.compile(r"[\w.:/@-]{1,64}", re.ASCII)

DEFAULT_CALL_TIMEOUT: Final = 30.0
"""Seconds that a call waits for its answer unless its contract or its caller says otherwise."""


class Member(ABC):
    """What events, calls and streams have in common."""

    kind: Literal["event", "call", "stream"]
    doc: str
    """What the contract says about the member, or ""."""
    deprecated: bool | str
    """Whether the member should no longer be used, or what to use instead."""
    roles: frozenset[str]
    """Who may use it besides those who may do everything: who has one of these roles. Empty: everybody."""

    def __init__(self, doc: str | None, deprecated: bool | str) -> None:
        self.doc = doc or ""
        self.deprecated = deprecated
        self.roles = frozenset()
        self._name: str | None = None
        self._problem: TypeError | None = None
        self._claimed_by: str | None = None
        self._contract: ContractInfo | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name or '(in no contract)'}>"

    @contextmanager
    def _noting_problems(self) -> Iterator[None]:
        """Keep a wrong argument until the contract's class is made, which can say the member's name."""
        try:
            yield
        except TypeError as problem:
            self._problem = problem

    @property
    def name(self) -> str:
        """The full name on the wire, e.g. "conductor.progress"."""
        if self._name is None:
            raise self._unbound()
        return self._name

    @property
    def contract(self) -> ContractInfo:
        """The contract that declares the member: the outermost one, whose version and fingerprint are announced."""
        if self._contract is None:
            raise self._unbound()
        return self._contract

    def _unbound(self) -> RuntimeError:
        return RuntimeError(
            f"this {type(self).__name__} belongs to no contract yet; assign it in the body of a Contract class"
        )

    @property
    @abstractmethod
    def payloads(self) -> dict[str, Payload[Any]]:
        """The member's payloads by their part: payload, or request and response, or request and item."""

    @property
    def raises(self) -> tuple[type[ContractError], ...]:
        """The errors that the member declares; none for an event."""
        return ()

    def check(self, where: str) -> None:
        """Refuse wrong arguments; ionbus calls this when the contract's class is made.

        Args:
            where: class and member, for the message.

        Raises:
            TypeError: an argument is wrong, or the member is in a contract already.
        """
        if self._problem is not None:
            raise TypeError(f"{where}: {self._problem}") from self._problem
        if self._claimed_by is not None:
            raise TypeError(
                f"{where}: the same object is {self._claimed_by} already; make a new one for each member"
            )
        self._claimed_by = where

    def bind(self, name: str, contract: ContractInfo) -> None:
        """Give the member its name and contract; ionbus does this when the outermost contract's class is made."""
        self._name = name
        self._contract = contract
        for part, payload in self.payloads.items():
            payload.policy = contract.policy
            payload.where = name if part in {"payload", "request"} else f"{name} {part}"


class Event(Member, Generic[P, SourceT_co]):
    """A typed message with no answer.

    Args:
        payload: the payload's type, or `None` for none.
        source: who may publish it: "broker" (default), "client" or "any".
        delivery: "session" (in order, exactly once while the session lives), "volatile" (dropped rather than queued)
            or "latest" (only the newest for each `key`).
        key: the field or fields that tell values of a "latest" event apart.
        roles: who may subscribe to it, and who may publish it where clients do: who has one of these roles. None: everybody.
        doc: one paragraph for people.
        deprecated: True, or what to use instead.

    Wrong arguments are refused when the contract's class is made, with the member's name.
    """

    kind = "event"

    @overload
    def __init__(
        self: Event[T, Literal["broker"]],
        payload: TypeForm[T],
        *,
        source: Literal["broker"] = ...,
        delivery: Delivery = ...,
        key: str | tuple[str, ...] | None = ...,
        roles: AbstractSet[str] | None = ...,
        doc: str | None = ...,
        deprecated: bool | str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Event[T, Literal["client"]],
        payload: TypeForm[T],
        *,
        source: Literal["client"],
        delivery: Delivery = ...,
        key: str | tuple[str, ...] | None = ...,
        roles: AbstractSet[str] | None = ...,
        doc: str | None = ...,
        deprecated: bool | str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Event[T, Literal["any"]],
        payload: TypeForm[T],
        *,
        source: Literal["any"],
        delivery: Delivery = ...,
        key: str | tuple[str, ...] | None = ...,
        roles: AbstractSet[str] | None = ...,
        doc: str | None = ...,
        deprecated: bool | str = ...,
    ) -> None: ...
    def __init__(
        self,
        payload: TypeForm[Any],
        *,
        source: Source = "broker",
        delivery: Delivery = "session",
        key: str | tuple[str, ...] | None = None,
        roles: AbstractSet[str] | None = None,
        doc: str | None = None,
        deprecated: bool | str = False,
    ) -> None:
        super().__init__(doc, deprecated)
        self.source: SourceT_co = cast("SourceT_co", source)
        self.delivery: Delivery = delivery
        self.key: tuple[str, ...] = ()
        with self._noting_problems():
            self.key = _fields_of(key)
            self.payload: Payload[P] = _payload(payload, "payload")
            _check_source(source)
            _check_delivery(delivery, self.key)
            _check_key(self.key, payload)
            self.roles = read_roles(roles)
        self._key_of = attrgetter(*self.key) if self.key else None

    @property
    def payloads(self) -> dict[str, Payload[Any]]:
        return {"payload": self.payload}

    def matches(self, received: Received[object]) -> TypeGuard[Received[P]]:
        """Whether what arrived is this event; type checkers narrow its payload then."""
        return received.name == self.name

    @property
    def wire_key(self) -> tuple[str, ...]:
        """The key's fields as they are spelled on the wire."""
        return tuple(_wire_name(self.payload.form, field) for field in self.key)

    def key_of(self, value: P) -> tuple[object, ...]:
        """The values that tell this payload apart from others of a "latest" event; () where it has no key.

        Args:
            value: a validated payload.
        """
        if self._key_of is None:
            return ()
        if isinstance(value, dict):
            return tuple(value.get(name) for name in self.key)
        found = self._key_of(value)
        return found if len(self.key) > 1 else (found,)


class Call(Member, Generic[RequestT, ResponseT, ServedByT_co]):
    """A typed request with one typed answer or one typed error.

    Args:
        request: the request's type, or `None`.
        response: the answer's type, or `None`.
        timeout: seconds that a caller waits unless it says otherwise; None: for ever.
        raises: the errors that a handler may raise so that they reach the caller.
        served_by: who handles it: "broker" (default) or "client".
        idempotent: whether it may be sent again when it is unknown whether it was carried out.
        roles: who may call it: who has one of these roles. None: everybody. Not where the client serves it.
        doc: one paragraph for people.
        deprecated: True, or what to use instead.

    Wrong arguments are refused when the contract's class is made, with the member's name.
    """

    kind = "call"

    @overload
    def __init__(
        self: Call[T, U, Literal["broker"]],
        request: TypeForm[T],
        response: TypeForm[U],
        *,
        timeout: float | None = ...,
        raises: Sequence[type[ContractError]] = ...,
        served_by: Literal["broker"] = ...,
        idempotent: bool = ...,
        roles: AbstractSet[str] | None = ...,
        doc: str | None = ...,
        deprecated: bool | str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Call[T, U, Literal["client"]],
        request: TypeForm[T],
        response: TypeForm[U],
        *,
        timeout: float | None = ...,
        raises: Sequence[type[ContractError]] = ...,
        served_by: Literal["client"],
        idempotent: bool = ...,
        doc: str | None = ...,
        deprecated: bool | str = ...,
    ) -> None: ...
    def __init__(
        self,
        request: TypeForm[Any],
        response: TypeForm[Any],
        *,
        timeout: float | None = DEFAULT_CALL_TIMEOUT,
        raises: Sequence[type[ContractError]] = (),
        served_by: ServedBy = "broker",
        idempotent: bool = False,
        roles: AbstractSet[str] | None = None,
        doc: str | None = None,
        deprecated: bool | str = False,
    ) -> None:
        super().__init__(doc, deprecated)
        self.timeout = timeout
        self.served_by: ServedByT_co = cast("ServedByT_co", served_by)
        self.idempotent = idempotent
        self._raises: tuple[type[ContractError], ...] = ()
        with self._noting_problems():
            self._raises = _all_of(raises)
            self.request: Payload[RequestT] = _payload(request, "request")
            self.response: Payload[ResponseT] = _payload(response, "response")
            _check_timeout(timeout)
            _check_served_by(served_by)
            _check_raises(self._raises)
            self.roles = read_roles(roles, served_by)

    @property
    def payloads(self) -> dict[str, Payload[Any]]:
        return {"request": self.request, "response": self.response}

    @property
    def raises(self) -> tuple[type[ContractError], ...]:
        return self._raises


class Stream(Member, Generic[RequestT, ItemT, ServedByT_co]):
    """A typed request with many typed answers, then an end or an error.

    Args:
        request: the request's type, or `None`.
        item: the type of each answer.
        timeout: seconds that the whole stream may take; None (default): for ever.
        raises: the errors that a handler may raise so that they reach the reader.
        served_by: who handles it: "broker" (default) or "client".
        idempotent: whether it may be asked for again when it is unknown whether it was carried out.
        roles: who may ask for it: who has one of these roles. None: everybody. Not where the client serves it.
        doc: one paragraph for people.
        deprecated: True, or what to use instead.

    Wrong arguments are refused when the contract's class is made, with the member's name.
    """

    kind = "stream"

    @overload
    def __init__(
        self: Stream[T, U, Literal["broker"]],
        request: TypeForm[T],
        item: TypeForm[U],
        *,
        timeout: float | None = ...,
        raises: Sequence[type[ContractError]] = ...,
        served_by: Literal["broker"] = ...,
        idempotent: bool = ...,
        roles: AbstractSet[str] | None = ...,
        doc: str | None = ...,
        deprecated: bool | str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Stream[T, U, Literal["client"]],
        request: TypeForm[T],
        item: TypeForm[U],
        *,
        timeout: float | None = ...,
        raises: Sequence[type[ContractError]] = ...,
        served_by: Literal["client"],
        idempotent: bool = ...,
        doc: str | None = ...,
        deprecated: bool | str = ...,
    ) -> None: ...
    def __init__(
        self,
        request: TypeForm[Any],
        item: TypeForm[Any],
        *,
        timeout: float | None = None,
        raises: Sequence[type[ContractError]] = (),
        served_by: ServedBy = "broker",
        idempotent: bool = False,
        roles: AbstractSet[str] | None = None,
        doc: str | None = None,
        deprecated: bool | str = False,
    ) -> None:
        super().__init__(doc, deprecated)
        self.timeout = timeout
        self.served_by: ServedByT_co = cast("ServedByT_co", served_by)
        self.idempotent = idempotent
        self._raises: tuple[type[ContractError], ...] = ()
        with self._noting_problems():
            self._raises = _all_of(raises)
            self.request: Payload[RequestT] = _payload(request, "request")
            self.item: Payload[ItemT] = _payload(item, "item")
            _check_timeout(timeout)
            _check_served_by(served_by)
            _check_raises(self._raises)
            self.roles = read_roles(roles, served_by)

    @property
    def payloads(self) -> dict[str, Payload[Any]]:
        return {"request": self.request, "item": self.item}

    @property
    def raises(self) -> tuple[type[ContractError], ...]:
        return self._raises


def _payload(form: TypeForm[T], part: str) -> Payload[T]:
    try:
        return Payload(form, part)
    except (PydanticUserError, TypeError, NameError) as error:
        reason = str(error).split("\n", 1)[0]
        raise TypeError(f"pydantic cannot validate the {part} {form!r}: {reason}") from error


def _check_source(source: Source) -> None:
    if source not in get_args(Source):
        raise TypeError(f"source={source!r} is unknown; it is 'broker', 'client' or 'any'")


def _check_delivery(delivery: Delivery, key: tuple[str, ...]) -> None:
    if cast("str", delivery) == "durable":
        raise TypeError(
            "delivery='durable' comes with the event log in a later release; use 'session' until then"
        )
    if delivery not in get_args(Delivery):
        raise TypeError(f"delivery={delivery!r} is unknown; it is 'session', 'volatile' or 'latest'")
    if key and delivery != "latest":
        raise TypeError(f"key={key!r} has a meaning with delivery='latest' only; add that, or drop the key")


def _fields_of(key: object) -> tuple[str, ...]:
    if key is None:
        return ()
    fields = (key,) if isinstance(key, str) else key
    if not isinstance(fields, (tuple, list)) or not all(isinstance(field, str) for field in fields):
        raise TypeError(f"key={key!r} is neither a field nor a tuple of fields")
    return tuple(fields)


def _all_of(errors: object) -> tuple[Any, ...]:
    if not isinstance(errors, (list, tuple)):
        raise TypeError(f"raises={errors!r} is no list; write raises=[FlowInvalid]")
    return tuple(errors)


def _check_timeout(timeout: object) -> None:
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
        raise TypeError(f"timeout={timeout!r} is not a time; give seconds above 0, or None for no limit")


def _check_served_by(side: ServedBy) -> None:
    if side not in get_args(ServedBy):
        raise TypeError(f"served_by={side!r} is unknown; it is 'broker' or 'client'")


def read_roles(roles: object, served_by: str = "broker") -> frozenset[str]:
    """Check what a member says about roles.

    Args:
        roles: a set of names, or None for everybody.
        served_by: which side serves it, or "broker" for an event.

    Raises:
        TypeError: it is no such set, or roles have no meaning here.
    """
    if roles is None:
        return frozenset()
    if served_by == "client":
        raise TypeError(
            "roles= says which client may ask the broker; what the client serves only the broker asks for: drop roles="
        )
    if isinstance(roles, str) or not isinstance(roles, Collection):
        raise TypeError(f"roles={roles!r} is no set of roles; write roles={{{roles!r}}}")
    if not roles:
        raise TypeError("roles= is empty, so that nobody could use it; name a role, or drop roles=")
    for role in roles:
        if not (isinstance(role, str) and _ROLE.fullmatch(role)):
            raise TypeError(
                f"roles= names {role!r}; a role is 1 to 64 letters, digits and _ - . : / @, as 'admin'"
            )
    return frozenset(roles)


def _check_raises(errors: Sequence[object]) -> None:
    for error in errors:
        if not (isinstance(error, type) and issubclass(error, ContractError)):
            raise TypeError(
                f"raises names {error!r}, which is no subclass of ContractError; only those travel"
            )


def _check_key(key: tuple[str, ...], form: object) -> None:
    if not key:
        return
    for variant in _variants(form):
        known = _field_names(variant)
        for field in key:
            if known is None:
                raise TypeError(f"key={field!r} needs a payload that has fields; {variant!r} has none")
            if field not in known:
                raise TypeError(
                    f"key={field!r} is no field of {getattr(variant, '__name__', variant)}, "
                    f"which has {', '.join(sorted(known)) or 'none'}"
                )


def _variants(form: object) -> list[object]:
    """The types that a payload may be one of."""
    origin = get_origin(form)
    if origin is Annotated:
        return _variants(get_args(form)[0])
    if origin is not None and type(None) not in get_args(form) and _is_union(origin):
        return [variant for part in get_args(form) for variant in _variants(part)]
    return [form]


def _is_union(origin: object) -> bool:
    return origin in {Union, UnionType}


def _field_names(form: object) -> set[str] | None:
    bare = get_origin(form) or form
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return set(bare.model_fields)
    if isinstance(bare, type) and is_dataclass(bare):
        return {field.name for field in dataclass_fields(bare)}
    if is_typeddict(bare):
        return set(getattr(bare, "__annotations__", {}))
    return None


def _wire_name(form: object, field: str) -> str:
    """How a field is spelled where it travels."""
    for variant in _variants(form):
        bare = get_origin(variant) or variant
        if isinstance(bare, type) and issubclass(bare, BaseModel):
            return bare.model_fields[field].serialization_alias or field
    return field
