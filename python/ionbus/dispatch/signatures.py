"""What a handler's or listener's signature says: how to call it, and whether it fits its contract."""

from __future__ import annotations

import inspect
import types
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ionbus.dispatch.context import Context, ThreadContext

Flow = Literal["async", "thread", "async_items", "thread_items"]
"""Where a function runs, and whether it yields items."""

_ITERATORS = (AsyncIterator, AsyncIterable, AsyncGenerator, Iterator, Iterable, Generator)


@dataclass(frozen=True, slots=True)
class Signature:
    """How to call a function: with the payload, the context, both or neither, in this order."""

    flow: Flow
    takes_payload: bool
    takes_context: bool

    @property
    def is_async(self) -> bool:
        """Whether it runs on the loop."""
        return self.flow in ("async", "async_items")


def read_signature(
    function: Callable[..., object], where: str, payload: object, answer: object, *, yields: bool
) -> Signature:
    """Read how a function wants to be called and refuse what cannot work.

    Args:
        function: the handler or listener.
        where: the member's name, for the message.
        payload: the type of the request or event.
        answer: the type of the result or item; `Any` where none is expected.
        yields: whether it is to yield items.

    Raises:
        TypeError: it takes what it will not be given, or gives what the contract does not say.
    """
    name = getattr(function, "__qualname__", repr(function)).rpartition("<locals>.")[2]
    subject = f"{where}: {name}()"
    flow = _flow(function, subject, yields=yields)
    hints = _hints(function)
    every = inspect.signature(function).parameters.values()
    parameters = [
        parameter
        for parameter in every
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    needed = [
        parameter
        for parameter in every
        if parameter.kind == parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    ]
    if needed:
        raise TypeError(
            f"{subject} needs {needed[0].name} by keyword; handlers are given a payload and a context"
        )
    wanted = Context if flow in ("async", "async_items") else ThreadContext
    takes_payload = takes_context = False
    for parameter in parameters:
        hint = hints.get(parameter.name, Any)
        context = _context_class(hint)
        if context is None and hint is Any and parameter.name in ("ctx", "context"):
            context = wanted
        if context is not None:
            if context is not wanted:
                kind = "an async" if wanted is Context else "a def"
                raise TypeError(f"{subject}: {kind} handler takes {wanted.__name__}, not {context.__name__}")
            takes_context = True
        elif not takes_payload and not takes_context:
            takes_payload = True
            if not fits(payload, hint):
                raise TypeError(f"{subject} takes {_show(hint)}; the contract says {_show(payload)}")
        elif parameter.default is parameter.empty:
            raise TypeError(f"{subject}: parameter {parameter.name} is neither the payload nor a context")
    if (
        not takes_payload and not takes_context and not _is_none(payload)
    ):  # as a mock's or a plain decorator's
        takes_payload = any(parameter.kind == parameter.VAR_POSITIONAL for parameter in every)
    if not takes_payload and not _is_none(payload):
        raise TypeError(f"{subject} takes no payload; the contract says {_show(payload)}")
    given = hints.get("return", Any)
    if yields:
        given = _item(given)
    if not fits(given, answer):
        verb = "yields" if yields else "returns"
        raise TypeError(f"{subject} {verb} {_show(given)}; the contract says {_show(answer)}")
    return Signature(flow, takes_payload, takes_context)


def fits(given: object, wanted: object) -> bool:
    """Whether a value of the type `given` may stand where `wanted` is expected; True where this cannot be told."""
    given, wanted = _plain(given), _plain(wanted)
    if given == wanted or given is Any or wanted in (Any, object):
        return True
    if isinstance(given, TypeVar) or isinstance(wanted, TypeVar):
        return True
    if _is_union(given):
        return all(fits(part, wanted) for part in get_args(given))
    if _is_union(wanted):
        return any(fits(given, part) for part in get_args(wanted))
    given_class, wanted_class = get_origin(given) or given, get_origin(wanted) or wanted
    if isinstance(given_class, type) and isinstance(wanted_class, type):
        if not issubclass(given_class, wanted_class):
            return wanted_class is float and given_class is int
        if given_class is wanted_class and get_args(given) and get_args(wanted):
            pairs = list(zip(get_args(given), get_args(wanted), strict=False))
            return all(fits(left, right) for left, right in pairs)
    return True


def _flow(function: Callable[..., object], subject: str, *, yields: bool) -> Flow:
    while isinstance(function, partial):
        function = function.func
    called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    if inspect.isasyncgenfunction(called):
        if not yields:
            raise TypeError(f"{subject} yields; only a stream's handler does")
        return "async_items"
    if inspect.isgeneratorfunction(called):
        if not yields:
            raise TypeError(f"{subject} yields; only a stream's handler does")
        return "thread_items"
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
        if yields:
            raise TypeError(f"{subject} returns once; a stream's handler yields its items")
        return "async"
    if yields:
        hint = get_origin(_hints(function).get("return", Any)) or Any
        is_async = isinstance(hint, type) and issubclass(hint, AsyncIterable)
        return "async_items" if is_async else "thread_items"
    return "thread"


def _hints(function: Callable[..., object]) -> dict[str, Any]:
    """The annotations, as far as their names can be resolved."""
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        annotations = getattr(function, "__annotations__", None) or {}
        return {name: hint for name, hint in annotations.items() if not isinstance(hint, str)}


def _context_class(hint: object) -> type | None:
    bare = get_origin(hint) or hint
    if isinstance(bare, type) and issubclass(bare, (Context, ThreadContext)):
        return Context if issubclass(bare, Context) else ThreadContext
    return None


def _item(hint: object) -> object:
    if get_origin(hint) in _ITERATORS and get_args(hint):
        return get_args(hint)[0]
    return Any


def _plain(form: object) -> object:
    if get_origin(form) is Annotated:
        return _plain(get_args(form)[0])
    return type(None) if form is None else form


def _is_union(form: object) -> bool:
    return get_origin(form) in (Union, types.UnionType)


def _is_none(form: object) -> bool:
    return form in (None, type(None))


def _show(form: object) -> str:
    if _is_none(form):
        return "None"
    return form.__qualname__ if isinstance(form, type) and not get_args(form) else str(form)
