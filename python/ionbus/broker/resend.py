"""How a dead letter is sent again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ionbus.broker.dead_letters import CannotResend, DeadLetter
from ionbus.contract.members import Call, Event
from ionbus.dispatch.context import Request
from ionbus.dispatch.handlers import EventListener, Handler
from ionbus.dispatch.signatures import Signature
from ionbus.wire.messages import encode_event

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session
    from ionbus.broker.serving import Serving


async def send_again(serving: Serving, letter: DeadLetter, session_id: str | None) -> Any:
    """Send a dead letter again (`DeadLetters.resend`).

    Args:
        serving: the broker at work.
        letter: what.
        session_id: of the session that takes the place of its own; None: its own.

    Raises:
        CannotResend: it is a stream, was not kept, or needs a session that is over.
        Exception: what refuses it, or fails at it.
    """
    if letter.kind == "stream":
        raise CannotResend(f"{letter.name}: a stream is read by who asks for it; ask again")
    if letter.payload is None:
        raise CannotResend(f"{letter.name}: its payload of {letter.size} bytes was too large to keep")
    wanted = session_id or letter.session
    session = next((each for each in serving.sessions if each.id == wanted), None)
    if session_id is not None and session is None:
        raise CannotResend(f"there is no session {session_id}")
    member = serving.members.get(letter.name)
    if letter.reason == "undelivered":
        if session is None:
            raise CannotResend(f"session {wanted} is over; name the one that takes its place")
        if not session.subscribes(letter.name):
            raise CannotResend(f"session {wanted} does not subscribe to {letter.name}")
        await session.emit_encoded(encode_event(letter.name, letter.payload), len(letter.payload))
        return None
    if isinstance(member, Event):
        await _hear_again(serving, member, letter, letter.payload, session)
        return None
    if not isinstance(member, Call):
        raise CannotResend(f"{letter.name} is no longer served here")
    handler = serving.handlers.get(letter.name)
    if handler is None:
        raise CannotResend(f"{letter.name}: the broker has no handler for it")
    answer = await _run(
        serving, handler, member.request.decode(letter.payload), session, is_async=handler.is_async
    )
    return member.response.validate(answer)


async def _hear_again(
    serving: Serving, event: Event[Any, Any], letter: DeadLetter, payload: bytes, session: Session | None
) -> None:
    """Hand a client's event to what listens in the broker, and to other clients too where none has seen it.

    Then it has been heard: a listener that fails leaves a letter of its own.
    """
    value = event.payload.decode(payload)
    listeners = [each for each in serving.listeners.get(letter.name, []) if each.is_open]
    has_been_heard = letter.listener is not None  # else middleware failed at it, before anybody had it
    if letter.reason == "failed" and has_been_heard:
        listeners = [each for each in listeners if each.told_name == letter.listener]
        if not listeners:
            raise CannotResend(f"{letter.listener} does not listen to {letter.name} any more")
    _check_contexts(listeners, letter, session)
    if not has_been_heard:
        behind = serving.events.relay(event, value, payload, session)
        await serving.caught_up(behind)
    for listener in listeners:
        try:
            await _run(serving, listener, value, session, is_async=listener.signature.is_async)
        except Exception as error:
            if has_been_heard:
                raise
            serving.dead_letters.add(
                "failed",
                error,
                "event",
                letter.name,
                payload,
                session=letter.session,
                principal=letter.principal,
                listener=listener.told_name,
            )


def _check_contexts(listeners: list[EventListener], letter: DeadLetter, session: Session | None) -> None:
    """Refuse before any of them has run."""
    for listener in listeners:
        if listener.signature.takes_context and session is None:
            raise CannotResend(
                f"{letter.name}: {listener.told_name} takes a context, and session {letter.session} is over; "
                "name the one that takes its place"
            )


async def _run(
    serving: Serving, what: Handler | EventListener, value: Any, session: Session | None, *, is_async: bool
) -> Any:
    """Run a handler or a listener, in the task that asks for it."""
    signature: Signature = what.signature
    arguments = [value] if signature.takes_payload else []
    if signature.takes_context:
        if session is None:
            raise CannotResend(
                f"{what.member.name}: its handler takes a context, and the session that asked is over; "
                "name the one that takes its place"
            )
        arguments.append(session.context_for(Request(), is_async=is_async))
    if is_async:
        return await what.function(*arguments)
    return await serving.threads.run(partial(what.function, *arguments))
