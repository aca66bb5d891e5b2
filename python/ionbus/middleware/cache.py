"""Answers of idempotent calls, given again for a while."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from ionbus.contract.members import Call
from ionbus.middleware.message import AnyMiddleware, Message
from ionbus.middleware.passing import Fading, now, principal_of


def cache(ttl: float, *, limit: int = 1_000) -> AnyMiddleware:
    """Answer an idempotent call as it was answered before to the same payload and principal; all else passes.

    Only answers are kept, no errors. They are kept as bytes, so that nobody can change what the next one gets.

    Args:
        ttl: seconds that an answer is kept.
        limit: how many are kept.

    Raises:
        ValueError: a number is not more than 0.
    """
    if ttl <= 0 or limit < 1:
        raise ValueError(f"cache({ttl!r}, limit={limit!r}): both are more than 0")
    answers: Fading[bytes] = Fading(ttl, limit)

    async def cached(message: Message[Any], next: Any) -> Any:
        member = message.member
        if not (isinstance(member, Call) and member.idempotent):
            return await next(message)
        question = sha256(bytes(member.request.encode(message.payload))).digest()  # a request may be large
        key = (message.direction, message.name, principal_of(message), question)
        known = answers.get(key, now())
        if known is not None:
            return member.response.decode(known)
        answer = await next(message)
        answers.put(key, bytes(member.response.encode(answer)), now())
        return answer

    cached.__qualname__ = "cache"
    return cached
