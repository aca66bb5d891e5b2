"""Which middleware stands around what, and in which order: what `use` was told, ready to be looked up by a member's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final, NamedTuple, get_args, overload

from typing_extensions import TypeVar

from ionbus.contract.contract import Contract, is_contract
from ionbus.contract.members import Call, Event, Member, Stream
from ionbus.events.names import suggestion
from ionbus.events.patterns import is_exact, matcher, pattern_problem
from ionbus.middleware.message import (
    AnyMiddleware,
    Direction,
    EventMiddleware,
    Kind,
    Message,
    Middleware,
    StreamMiddleware,
)
from ionbus.middleware.onion import check_middleware, compose, name_of

P = TypeVar("P")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")

_KNOWN_NAMES: Final = 10_000
"""For how many names the chains are kept; a peer that makes up names cannot make them more."""


class Scope(NamedTuple):
    """What a middleware is for.

    Attributes:
        depth: how many segments of the name it says; what says more stands further in.
        matches: whether a name is meant.
        member: the one that is meant, where it is one.
    """

    depth: float
    matches: Callable[[str], bool]
    member: Member | None = None


def scope_of(what: object) -> Scope:
    """Read what a middleware is to be for: None (everything), a contract, a member, or a pattern.

    Raises:
        TypeError: it is none of these.
        ValueError: the pattern is malformed.
    """
    if what is None:
        return Scope(0, lambda _: True)
    if isinstance(what, Member):
        return Scope(inf, what.name.__eq__, what)
    if is_contract(what) and hasattr(what, "__contract__"):
        name = what.__contract__.name
        return Scope(name.count(".") + 1, matcher(f"{name}.**"))
    if not isinstance(what, str):
        raise TypeError(f"middleware is for a contract, a member or a pattern, not {what!r}")
    problem = pattern_problem(what)
    if problem is not None:
        raise ValueError(problem)
    depth = inf if is_exact(what) else sum("*" not in segment for segment in what.split("."))
    return Scope(depth, matcher(what))


def check_served(what: object, contracts: Sequence[type[Contract]]) -> None:
    """Refuse what a broker of these contracts never sees.

    Raises:
        TypeError: it belongs to none of them, or is nothing that passes.
        ValueError: the pattern is malformed, or matches nothing.
    """
    scope = scope_of(what)
    names = [member.name for each in contracts for member in each.__contract__.members.values()]
    if any(map(scope.matches, names)) or what is None:
        return
    if is_contract(what) or isinstance(what, Member):
        name = what.name if isinstance(what, Member) else what.__contract__.name
        known = ", ".join(each.__contract__.name for each in contracts) or "none"
        raise TypeError(f"{name} belongs to no contract that is served here; those are {known}")
    raise ValueError(f"{what!r} matches nothing that is served here{suggestion(str(what), names)}")


def check_choice(kind: object, direction: object, member: Member | None = None) -> None:
    """Refuse what no message can be.

    Raises:
        ValueError: there is no such kind or direction, or the member is of another kind.
    """
    for name, given, choices in (
        ("kind", kind, get_args(Kind)),
        ("direction", direction, get_args(Direction)),
    ):
        if given is not None and given not in choices:
            raise ValueError(f"{name}={given!r} is none of {', '.join(choices)}")
    if member is not None and kind not in (None, member.kind):
        raise ValueError(f"{member.name} is of the kind {member.kind!r}: kind={kind!r} would never pass")


class _Used(NamedTuple):
    middleware: AnyMiddleware
    scope: Scope
    kind: Kind | None
    direction: Direction | None


class Chains:
    """Middleware by what it is for. Looking a member up costs one access to a dict, once it was done."""

    def __init__(self) -> None:
        self._used: list[_Used] = []
        self._found: dict[tuple[Direction, Kind, str], tuple[AnyMiddleware, ...]] = {}

    def add(
        self,
        middleware: AnyMiddleware,
        what: object = None,
        kind: Kind | None = None,
        direction: Direction | None = None,
    ) -> None:
        """Let a middleware stand around what passes from now on; see `Broker.use`.

        Raises:
            TypeError: it is no middleware, or `what` is nothing that passes.
            ValueError: the pattern is malformed, or there is no such kind or direction.
        """
        check_middleware(middleware)
        scope = scope_of(what)
        check_choice(kind, direction, scope.member)
        self._used.append(_Used(middleware, scope, kind, direction))
        self._used.sort(key=lambda used: used.scope.depth)  # stable: among equals the first used is outermost
        self._found.clear()

    def find(self, direction: Direction, kind: Kind, name: str) -> tuple[AnyMiddleware, ...]:
        """What stands around a member, the outermost first."""
        key = (direction, kind, name)
        found = self._found.get(key)
        if found is None:
            found = tuple(
                used.middleware
                for used in self._used
                if used.kind in (None, kind)
                and used.direction in (None, direction)
                and used.scope.matches(name)
            )
            if len(self._found) >= _KNOWN_NAMES:
                self._found.clear()
            self._found[key] = found
        return found


@overload
def only(
    what: Call[RequestT, ResponseT, Any],
    /,
    *middleware: Middleware[RequestT, ResponseT],
    direction: Direction | None = ...,
) -> AnyMiddleware: ...
@overload
def only(
    what: Stream[RequestT, ItemT, Any],
    /,
    *middleware: StreamMiddleware[RequestT, ItemT],
    direction: Direction | None = ...,
) -> AnyMiddleware: ...
@overload
def only(
    what: Event[P, Any], /, *middleware: EventMiddleware[P], direction: Direction | None = ...
) -> AnyMiddleware: ...
@overload
def only(
    what: object,
    /,
    *middleware: AnyMiddleware,
    kind: Kind | None = ...,
    direction: Direction | None = ...,
) -> AnyMiddleware: ...
def only(
    what: Any, /, *middleware: Any, kind: Kind | None = None, direction: Direction | None = None
) -> AnyMiddleware:
    """Middleware for some of what passes; all else passes by it.

    Args:
        what: a contract, a member, a pattern, or None for everything.
        middleware: the first is outermost.
        kind: only calls, streams or events.
        direction: only what arrives, or what leaves.

    Raises:
        TypeError: one is no middleware, or `what` is nothing that passes.
        ValueError: the pattern is malformed, or there is no such kind or direction.
    """
    scope = scope_of(what)
    check_choice(kind, direction, scope.member)
    inner = compose(*middleware)

    async def chosen(message: Message[Any], next: Any) -> Any:
        is_meant = (
            scope.matches(message.name)
            and kind in (None, message.kind)
            and direction in (None, message.direction)
        )
        return await (inner(message, next) if is_meant else next(message))

    chosen.__qualname__ = f"only({', '.join(map(name_of, middleware))})"
    return chosen
