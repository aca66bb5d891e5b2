"""Who may connect: authenticators, and tokens that are good once."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

Authenticate = Callable[[str | None], Any | Awaitable[Any]]
"""Given the token of HELLO, None where there is none, it gives the principal, or None (or False) to refuse."""

MAX_UNUSED = 1_000
MAX_SPENT = 10_000


def one_token(token: str) -> Authenticate:
    """Whoever has this token is "local"."""
    expected = token.encode()

    def authenticate(given: str | None) -> str | None:
        is_right = given is not None and secrets.compare_digest(given.encode(errors="replace"), expected)
        return "local" if is_right else None

    return authenticate


def no_token(_: str | None) -> str:
    """Everybody is "local": for channels that nobody else can open."""
    return "local"


class _OneUse:
    __slots__ = ("expires", "principal", "session")

    def __init__(self, principal: Any, expires: float) -> None:
        self.principal = principal
        self.expires = expires
        self.session: bytes | None = None


class OneUseTokens:
    """Tokens that open one session each, and stay good for that one until its client has proven that it has WELCOME.

    Args:
        lifetime: seconds in which a token has to be used.
    """

    def __init__(self, lifetime: float = 60.0) -> None:
        self._lifetime = lifetime
        self._tokens: dict[str, _OneUse] = {}
        self._spent: dict[str, bytes] = {}

    def mint(self, principal: Any, now: float) -> str:
        """A new token for a principal. `now`: seconds."""
        for token in [token for token, use in self._tokens.items() if use.expires <= now]:
            del self._tokens[token]
        while len(self._tokens) >= MAX_UNUSED:
            del self._tokens[next(iter(self._tokens))]
        token = secrets.token_urlsafe(32)
        self._tokens[token] = _OneUse(principal, now + self._lifetime)
        return token

    def redeem(self, token: str | None, session: bytes, now: float) -> Any:
        """The principal of a token that may open or resume this session; None: it may not."""
        use = self._tokens.get(token) if token is not None else None
        if use is None or use.expires <= now or use.session not in (None, session):
            return None
        use.session = session
        return use.principal

    def spend(self, token: str | None) -> None:
        """The proof is there: the token is good no more. Which session it opened is remembered, for `revoke`."""
        use = self._tokens.pop(token, None) if token is not None else None
        if token is not None and use is not None and use.session is not None:
            self._spent[token] = use.session
            while len(self._spent) > MAX_SPENT:
                del self._spent[next(iter(self._spent))]

    def revoke(self, token: str) -> bytes | None:
        """Whoever had this token is gone: it opens nothing any more. Gives the id of the session that it opened."""
        use = self._tokens.pop(token, None)
        return use.session if use is not None else self._spent.pop(token, None)
