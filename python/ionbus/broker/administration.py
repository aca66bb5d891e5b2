"""What answers the contract of operators (`ionbus.admin`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ionbus.admin import (
    Admin,
    CannotBeResent,
    DeadLetterQuery,
    Letter,
    LetterId,
    LetterWhole,
    Listening,
    NoSuchLetter,
    Resend,
)
from ionbus.broker.dead_letters import CannotResend, DeadLetter, DeadLetters
from ionbus.broker.principals import Principal
from ionbus.contract.payload import decode_any
from ionbus.dispatch.handlers import Handlers
from ionbus.errors import InvalidPayload, printable
from ionbus.observe.collect import broker_facts, broker_metrics
from ionbus.observe.health import Health, HealthBounds, judge
from ionbus.observe.metrics import Metrics

if TYPE_CHECKING:
    from ionbus.broker.serving import Serving


def administration(serving: Serving) -> Handlers:
    """The handlers of a broker at work."""
    handlers = Handlers(Admin)

    @handlers.handle(Admin.health)
    async def health() -> Health:
        return judge(broker_facts(serving), HealthBounds())

    @handlers.handle(Admin.metrics)
    async def metrics() -> Metrics:
        return broker_metrics(serving)

    @handlers.handle(Admin.subscriptions)
    async def subscriptions() -> list[Listening]:
        return [
            Listening(
                session=each.session,
                principal=each.principal,
                pattern=each.pattern,
                options=_options(each.options),
                since=each.since,
            )
            for session in serving.sessions
            for each in session.subscriptions
        ]

    _serve_dead_letters(handlers, serving.dead_letters)
    return handlers


def _serve_dead_letters(handlers: Handlers, letters: DeadLetters) -> None:
    @handlers.handle(Admin.dead_letters.list)
    async def list_letters(query: DeadLetterQuery) -> list[Letter]:
        found = letters.matching(query.pattern, query.reason, newest=query.newest)
        return [_letter(letter) for letter in found]

    @handlers.handle(Admin.dead_letters.show)
    async def show(which: LetterId) -> LetterWhole:
        letter = _find(letters, which.id)
        try:
            payload = letter.value()
        except InvalidPayload:  # that is why it is here
            payload = None
        return LetterWhole(letter=_letter(letter), payload=payload)

    @handlers.handle(Admin.dead_letters.resend)
    async def resend(which: Resend) -> Any:
        letter = _find(letters, which.id)
        try:
            return await letters.resend(letter, session=which.session)
        except CannotResend as error:
            raise CannotBeResent(message=str(error)) from error
        except Exception as error:
            again = letters.find(letter.id) or letter
            raise CannotBeResent(message=f"it has come to nothing again: {again.error}") from error

    @handlers.handle(Admin.dead_letters.drop)
    async def drop(which: LetterId) -> bool:
        return letters.drop(which.id)

    @handlers.handle(Admin.dead_letters.clear)
    async def clear() -> int:
        count = len(letters)
        letters.clear()
        return count


def _options(options: Mapping[str, object]) -> dict[str, Any]:
    """Those of a subscription as plain data: a filter is bytes on the wire."""
    return {
        name: decode_any(value, name) if isinstance(value, bytes) else value
        for name, value in options.items()
    }


def _find(letters: DeadLetters, letter_id: int) -> DeadLetter:
    letter = letters.find(letter_id)
    if letter is None:
        raise NoSuchLetter
    return letter


def _letter(letter: DeadLetter) -> Letter:
    principal = letter.principal
    return Letter(
        id=letter.id,
        at=letter.at,
        reason=letter.reason,
        code=letter.code,
        error=letter.error,
        kind=letter.kind,
        name=letter.name,
        session=letter.session,
        principal=printable(principal.name if isinstance(principal, Principal) else principal),
        size=letter.size,
        listener=letter.listener,
        resent=letter.resent,
    )
