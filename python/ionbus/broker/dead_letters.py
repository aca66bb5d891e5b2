"""Dead letters: events and requests that could not be delivered, validated or handled, kept with the reason.

They are bounded in number and in bytes, the oldest forgotten first; none outlives the process. What is done about one, sending it
again above all, is in `broker/resend`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from ionbus.contract.payload import decode_any
from ionbus.errors import IonbusError, printable
from ionbus.events.patterns import matcher, pattern_problem
from ionbus.watchers import Watchers

__all__ = ["CannotResend", "DeadLetter", "DeadLetters", "Reason"]

Reason: TypeAlias = Literal["invalid", "failed", "undelivered"]
"""Why: its payload did not fit the contract, what handled it raised, or its receiver's session ended first."""

MAX_LETTERS: Final = 1_000
MAX_BYTES: Final = 16_777_216
"""Of all payloads together."""
MAX_PAYLOAD_BYTES: Final = 1_048_576
"""Of one: a larger one is not kept, and its letter cannot be sent again."""
LONGEST_ERROR: Final = 1_000
"""Characters."""


class CannotResend(Exception):
    """A dead letter cannot be sent again; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event or request that came to nothing.

    Attributes:
        id: rises by one with each letter.
        at: when.
        reason: why, in a word.
        code: the error's code (docs/protocol.md, section 9), or that which the session ended with.
        error: what was wrong.
        kind: event, call or stream.
        name: of the member.
        session: the id of the session that it came from, or was for.
        principal: whom that session belonged to.
        payload: as it is on the wire; None where it was too large to keep.
        size: of the payload, in bytes.
        listener: the function that failed at it, where one did.
        resent: how often it was sent again, in vain.
    """

    id: int
    at: datetime
    reason: Reason
    code: str
    error: str
    kind: Literal["event", "call", "stream"]
    name: str
    session: str
    principal: Any = field(repr=False)
    payload: bytes | None = field(repr=False)
    size: int
    listener: str | None = None
    resent: int = 0

    def value(self) -> Any:
        """Its payload as plain data; None where it was not kept.

        Raises:
            InvalidPayload: the bytes are no value.
        """
        return None if self.payload is None else decode_any(self.payload, self.name)


class DeadLetters:
    """A broker's dead letters, oldest first: `broker.dead_letters`.

    Args:
        most: how many are kept; 0: none.
        now: the time of day.
    """

    def __init__(
        self, most: int = MAX_LETTERS, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        given: object = most
        if not isinstance(given, int) or isinstance(given, bool) or given < 0:
            raise ValueError(f"max_dead_letters is how many are kept, 0 or more, not {most!r}")
        self._most = most
        self._now = now
        self._letters: dict[int, DeadLetter] = {}
        self._last = 0
        self._bytes = 0
        self._sent_again: set[int] = set()  # right now
        self._watchers: Watchers[DeadLetter] = Watchers("dead letters")
        self.forgotten = 0
        """How many had to make room for newer ones."""
        self.send_again: Callable[[DeadLetter, str | None], Awaitable[Any]] | None = None
        """What does so, while the broker is served."""

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(tuple(self._letters.values()))

    def __repr__(self) -> str:
        return f"<DeadLetters {len(self)} kept, {self.forgotten} forgotten>"

    @property
    def held_bytes(self) -> int:
        """Bytes of the payloads that are kept."""
        return self._bytes

    def find(self, letter_id: int) -> DeadLetter | None:
        """The letter with this id, unless it was dropped or forgotten."""
        return self._letters.get(letter_id)

    def matching(
        self, pattern: str = "**", reason: Reason | None = None, *, newest: int | None = None
    ) -> list[DeadLetter]:
        """Those of members whose names match, oldest first.

        Args:
            pattern: of names, as "conductor.*"; "**": all.
            reason: only those with this one.
            newest: at most so many, and of more those.

        Raises:
            ValueError: the pattern is malformed.
        """
        if pattern != "**":
            problem = pattern_problem(pattern)
            if problem is not None:
                raise ValueError(problem)
        matches = matcher(pattern)
        found: deque[DeadLetter] = deque(maxlen=newest)
        for letter in self._letters.values():
            if (pattern == "**" or matches(letter.name)) and reason in (None, letter.reason):
                found.append(letter)
        return list(found)

    def drop(self, letter: DeadLetter | int) -> bool:
        """Forget one; whether it was there."""
        letter_id = letter.id if isinstance(letter, DeadLetter) else letter
        found = self._letters.pop(letter_id, None)
        if found is None:
            return False
        self._bytes -= len(found.payload or b"")
        return True

    def clear(self) -> None:
        """Forget all."""
        self._letters.clear()
        self._bytes = 0

    def on_letter(self, watch: Callable[[DeadLetter], object]) -> Callable[[], None]:
        """Call a function with each letter as it comes; gives a function that ends this."""
        return self._watchers.add(watch)

    async def resend(self, letter: DeadLetter | int, *, session: str | None = None) -> Any:
        """Send one again, where its reason is gone; it is dropped when that has worked.

        A client's event goes to what listens to it in the broker: to all of it if its payload was refused, to the listener that
        failed if one did. A call is handled again, though nobody waits for its answer but who asks for this. An event that
        was not delivered goes to its session.

        Args:
            letter: which one, or its id.
            session: the id of another session than its own, which is over.

        Returns:
            The answer of a call; None for an event.

        Raises:
            CannotResend: there is no such letter, it was not kept whole, its session is over, it is being sent again already, …
            Exception: what refuses it again, or fails at it again; the letter stays, and tells of this error.
        """
        letter_id = letter.id if isinstance(letter, DeadLetter) else letter
        found = self._letters.get(letter_id)
        if found is None:
            raise CannotResend(
                f"there is no dead letter {letter_id}; it was dropped, sent again, or forgotten"
            )
        if self.send_again is None:
            raise CannotResend("the broker is not served")
        if letter_id in self._sent_again:
            raise CannotResend(f"dead letter {letter_id} is being sent again already")
        self._sent_again.add(letter_id)
        try:
            answer = await self.send_again(found, session)
        except CannotResend:
            raise
        except Exception as error:
            code, text = _told(error)
            if letter_id in self._letters:
                self._letters[letter_id] = replace(found, code=code, error=text, resent=found.resent + 1)
            raise
        finally:
            self._sent_again.discard(letter_id)
        self.drop(letter_id)
        return answer

    # For the broker.

    def add(
        self,
        reason: Reason,
        error: BaseException | tuple[str, str],
        kind: Literal["event", "call", "stream"],
        name: str,
        payload: bytes,
        *,
        session: str,
        principal: Any,
        listener: str | None = None,
    ) -> None:
        """Keep one, as `DeadLetter` says; `error` may be its code and its text."""
        if self._most == 0:
            return
        self._last += 1
        kept = payload if len(payload) <= MAX_PAYLOAD_BYTES else None
        code, text = error if isinstance(error, tuple) else _told(error)
        letter = DeadLetter(
            self._last,
            self._now(),
            reason,
            code,
            text,
            kind,
            name,
            session,
            principal,
            kept,
            len(payload),
            listener,
        )
        self._letters[letter.id] = letter
        self._bytes += len(kept or b"")
        while len(self._letters) > self._most or self._bytes > MAX_BYTES:
            self.drop(next(iter(self._letters)))
            self.forgotten += 1
        self._watchers.tell(letter)


def _told(error: BaseException) -> tuple[str, str]:
    if isinstance(error, IonbusError):
        return error.code, printable(error, LONGEST_ERROR)
    return "internal_error", printable(f"{type(error).__name__}: {error}", LONGEST_ERROR)
