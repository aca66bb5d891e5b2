"""Every error that ionbus raises, one class per thing that a caller could do differently (schemas/errors.toml).

`code` names the class on the wire and is the same in both languages. An error crosses the wire as
(code, message, details): `error_to_wire` and `error_from_wire` are the two ends of that trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from ionbus.generated.errors import ERROR_CLASSES

__all__ = [
    "CallCancelled",
    "CallTimeout",
    "ConnectionLost",
    "ContractMismatch",
    "InternalError",
    "InvalidPayload",
    "IonbusError",
    "LocalProtocolError",
    "NotAllowed",
    "NotFound",
    "ProtocolError",
    "RemoteProtocolError",
    "SessionLost",
    "SlowConsumer",
    "TooLarge",
    "Unauthenticated",
    "error_from_wire",
    "error_to_wire",
]


class IonbusError(Exception):
    """The base of all errors of ionbus, and the class of a code that this side does not know.

    Args:
        message: what happened, to which thing, and what to do.
    """

    code: str = "ionbus_error"
    message: str

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.code, self.message, self.details())

    def details(self) -> dict[str, object]:
        """What travels beside the code and the message, as plain data."""
        return {}

    @classmethod
    def from_wire(cls, message: str, details: Mapping[str, object]) -> Self:
        """Make the error again from what arrived; fields that are missing or misshapen get empty values."""
        return cls(message)


class CallTimeout(IonbusError, TimeoutError):
    """The answer did not come in time; the handler was told to stop."""

    code = "call_timeout"


class CallCancelled(IonbusError):
    """The call was given up, by its caller or because its handler was stopped."""

    code = "call_cancelled"


class ConnectionLost(IonbusError, ConnectionError):
    """No channel could be opened, or the one that there was is gone and will not come back."""

    code = "connection_lost"


class SessionLost(IonbusError):
    """The session ended before this was answered: what the other side did of it is unknown."""

    code = "session_lost"


class SlowConsumer(IonbusError):
    """A receiver fell so far behind that what waited for it passed its bound."""

    code = "slow_consumer"


class InvalidPayload(IonbusError):
    """A payload does not fit its contract; refused before it was sent, or on arrival.

    Args:
        message: the first problem in words.
        paths: every problem as (path in the payload, what is wrong there); the path of the whole is "".
    """

    code = "invalid_payload"
    paths: list[tuple[str, str]]

    def __init__(self, message: str = "", *, paths: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.paths = list(paths)

    def details(self) -> dict[str, object]:
        return {"paths": [[path, problem] for path, problem in self.paths]}

    @classmethod
    def from_wire(cls, message: str, details: Mapping[str, object]) -> Self:
        received = details.get("paths")
        pairs = received if isinstance(received, (list, tuple)) else ()
        return cls(
            message,
            paths=[
                (pair[0], pair[1])
                for pair in pairs
                if isinstance(pair, (list, tuple))
                and len(pair) == 2
                and isinstance(pair[0], str)
                and isinstance(pair[1], str)
            ],
        )


class TooLarge(IonbusError):
    """A message is larger than the other side takes."""

    code = "too_large"


class NotAllowed(IonbusError):
    """The principal has no right to do this, or this side may not do it under the contract."""

    code = "not_allowed"


class NotFound(IonbusError):
    """Nothing by this name is served."""

    code = "not_found"


class Unauthenticated(IonbusError):
    """The token is missing, wrong, or spent."""

    code = "unauthenticated"


class ContractMismatch(IonbusError):
    """The two sides' versions of a contract cannot work together."""

    code = "contract_mismatch"


class ProtocolError(IonbusError):
    """The wire's rules were broken (docs/protocol.md)."""

    code = "protocol_error"


class LocalProtocolError(ProtocolError):
    """This side was about to break the wire's rules; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The other side broke the wire's rules."""


class InternalError(IonbusError):
    """A handler failed in a way that its contract does not declare; the reason is in the log of the side that ran it.

    Args:
        message: says that it failed, without detail.
        incident_id: finds the traceback in that log.
    """

    code = "internal_error"
    incident_id: str

    def __init__(self, message: str = "", *, incident_id: str = "") -> None:
        super().__init__(message)
        self.incident_id = incident_id

    def details(self) -> dict[str, object]:
        return {"incident_id": self.incident_id}

    @classmethod
    def from_wire(cls, message: str, details: Mapping[str, object]) -> Self:
        incident_id = details.get("incident_id")
        return cls(message, incident_id=incident_id if isinstance(incident_id, str) else "")


_BY_CODE: dict[str, type[IonbusError]] = {code: globals()[name] for code, name in ERROR_CLASSES.items()}

RESERVED_CODES = frozenset(_BY_CODE) | {IonbusError.code}
"""Codes that a `ContractError` cannot declare."""


def error_to_wire(error: IonbusError) -> tuple[str, str, dict[str, object]]:
    """Give the error as it travels.

    Args:
        error: any error of ionbus, declared ones included.

    Returns:
        The code, the message and the details, as plain data.

    Raises:
        InvalidPayload: a declared error's fields were changed after it was made, to what does not fit.
    """
    return error.code, well_formed(error.message), error.details()


def well_formed(text: str) -> str:
    """The text with lone surrogates, which no wire can carry, as question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def shortened(text: str, longest: int = 64) -> str:
    """Text of whoever sent it, of which no more is repeated than is of use."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def printable(text: object, longest: int = 500) -> str:
    """What the other side said, for a log or a terminal: on one line, without control characters, and not too long."""
    shown = str(text)
    more = "…" if len(shown) > longest else ""
    shown = shown[:longest]
    if not shown.isprintable():
        shown = "".join(each if each.isprintable() else repr(each)[1:-1] for each in shown)
    return shown + more


def error_from_wire(
    code: str,
    message: str,
    details: Mapping[str, object] | None = None,
    raises: Iterable[type[IonbusError]] = (),
) -> IonbusError:
    """Make the error that the other side reported; never raises, whatever arrived.

    Args:
        code: the error's code; an unknown one gives an `IonbusError` whose `code` it is.
        message: the error's message.
        details: what travelled beside it.
        raises: the error classes that the call declares; they are looked at first.

    Returns:
        An instance of the class that the code names. A declared error whose fields do not validate becomes
        an `InvalidPayload` that says so.
    """
    for declared in raises:
        if declared.code == code:
            try:
                return declared.from_wire(message, details or {})
            except InvalidPayload as invalid:
                return invalid
    known = _BY_CODE.get(code)
    if known is not None:
        return known.from_wire(message, details or {})
    unknown = IonbusError(message)
    unknown.code = code
    return unknown


def _restore(
    error_class: type[IonbusError], code: str, message: str, details: dict[str, object]
) -> IonbusError:
    """Unpickle an error."""
    error = error_class.from_wire(message, details)
    if error.code != code:
        error.code = code
    return error
