"""Who may connect: authenticators, and tokens that are good once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Set as AbstractSet
from typing import Any

from ionbus.broker.principals import Principal, Rights, checked_roles, with_roles

Authenticate = Callable[[str | None], Any | Awaitable[Any]]
"""Given the token of HELLO, None where there is none, it gives the principal, or None (or False) to refuse."""

Tokens = Mapping[str, Principal | AbstractSet[str]]
"""Tokens that are good, with the roles that each gives, or with who its owner is."""

MAX_UNUSED = 1_000
MAX_SPENT = 10_000

LOCAL = Principal("local")
"""Who has a token that no name was given to."""


def new_token() -> str:
    """A token that nobody guesses: 256 random bits."""
    return secrets.token_urlsafe(32)


def any_token(tokens: Iterable[tuple[str, Principal]]) -> Authenticate:
    """Whoever has one of these tokens is its principal. How long an answer takes says nothing about the tokens."""
    known = [(_digest(token), principal) for token, principal in tokens]

    def authenticate(given: str | None) -> Principal | None:
        found = None
        digest = _digest(given or "")
        for expected, principal in known:  # all of them, and digests of one length
            if secrets.compare_digest(digest, expected) and given:
                found = principal
        return found

    return authenticate


def no_token(_: str | None) -> Principal:
    """Everybody is "local": for channels that nobody else can open."""
    return LOCAL


def principals(tokens: Tokens) -> list[tuple[str, Principal]]:
    """Read what `tokens=` says.

    Raises:
        TypeError: it is no mapping from tokens to roles.
        ValueError: a token is empty.
    """
    if not isinstance(tokens, Mapping):
        raise TypeError(
            f"tokens= maps each token to its roles, as {{secret: {{'admin'}}}}; it is a {type(tokens).__name__}"
        )
    found: list[tuple[str, Principal]] = []
    for number, (token, owner) in enumerate(tokens.items(), 1):  # no message shows a token
        if not isinstance(token, str):
            raise TypeError(f"tokens=: the {number}. token is a {type(token).__name__}; tokens are texts")
        if not token:
            raise ValueError(f"tokens=: the {number}. token is empty, which is no secret")
        if not isinstance(owner, Principal):
            owner = Principal(f"token {number}", checked_roles(owner, f"tokens=: the {number}. token"))
        found.append((token, owner))
    return found


class _OneUse:
    __slots__ = ("expires", "principal", "rights", "session")

    def __init__(self, principal: Any, rights: Rights, expires: float) -> None:
        self.principal = principal
        self.rights = rights
        self.expires = expires
        self.session: bytes | None = None


class OneUseTokens:
    """Tokens that open one session each, and stay good for that one until its client has proven that it has WELCOME.

    They are kept by their digests, so that looking one up tells nothing about others.

    Args:
        lifetime: seconds in which a token has to be used.
    """

    def __init__(self, lifetime: float = 60.0) -> None:
        self._lifetime = lifetime
        self._tokens: dict[bytes, _OneUse] = {}
        self._spent: dict[bytes, bytes] = {}

    def mint(self, principal: Any, now: float, roles: Collection[str] = ()) -> str:
        """A new token.

        Args:
            principal: whose it is.
            now: seconds.
            roles: what its session may use of what asks for a role, whatever its principal may.
        """
        for digest in [digest for digest, use in self._tokens.items() if use.expires <= now]:
            del self._tokens[digest]
        while len(self._tokens) >= MAX_UNUSED:
            del self._tokens[next(iter(self._tokens))]
        token = new_token()
        rights = Rights(frozenset(roles))
        self._tokens[_digest(token)] = _OneUse(with_roles(principal, rights), rights, now + self._lifetime)
        return token

    def redeem(self, token: str | None, session: bytes, now: float) -> tuple[Any, Rights] | None:
        """The principal of a token that may open or resume this session, and what it may do; None: it may not."""
        use = self._tokens.get(_digest(token)) if token is not None else None
        if use is None or use.expires <= now or use.session not in (None, session):
            return None
        use.session = session
        return use.principal, use.rights

    def spend(self, token: str | None) -> None:
        """The proof is there: the token is good no more. Which session it opened is remembered, for `revoke`."""
        if token is None:
            return
        digest = _digest(token)
        use = self._tokens.pop(digest, None)
        if use is not None and use.session is not None:
            self._spent[digest] = use.session
            while len(self._spent) > MAX_SPENT:
                del self._spent[next(iter(self._spent))]

    def revoke(self, token: str) -> bytes | None:
        """Whoever had this token is gone: it opens nothing any more. Gives the id of the session that it opened."""
        digest = _digest(token)
        use = self._tokens.pop(digest, None)
        return use.session if use is not None else self._spent.pop(digest, None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
