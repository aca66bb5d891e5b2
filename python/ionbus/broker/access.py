"""Who is let in at each of a broker's listeners, from what `serve` and `run` are told."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from ionbus.broker.principals import RightsOf, checked_roles, of_parent, of_principal
from ionbus.broker.tokens import LOCAL, Authenticate, Tokens, any_token, new_token, no_token, principals


class Access:
    """See the module.

    Args:
        authenticate: decides alone, where it is given.
        token: one that is good; None: a random one, where nothing else lets anybody in.
        roles: what `token` gives.
        tokens: others, with the roles that each gives.
        needs_token: there has to be a token to hand on.

    Raises:
        TypeError: these do not go together, or are not what they should be.
        ValueError: a token is empty.
    """

    def __init__(
        self,
        *,
        authenticate: Authenticate | None = None,
        token: str | None = None,
        roles: AbstractSet[str] = frozenset(),
        tokens: Tokens | None = None,
        needs_token: bool = False,
    ) -> None:
        if authenticate is not None and not callable(authenticate):
            raise TypeError(f"authenticate is a function of the token, not a {type(authenticate).__name__}")
        if token == "":
            raise ValueError("token= is empty, which is no secret; leave it out for a random one")
        if authenticate is not None and (roles or tokens is not None or needs_token):
            raise TypeError(
                "authenticate= decides about every token, so that roles=, tokens= and endpoint_file= have no meaning beside it"
            )
        self._authenticate = authenticate
        self._others = principals(tokens) if tokens is not None else []
        self._roles = checked_roles(roles, "roles=")
        self._token = token
        self._needs_token = needs_token or tokens is None
        if self._roles and token is None and not self._needs_token:
            raise TypeError("roles= is what token= gives, and there is none beside tokens=; add it there")

    def from_anywhere(self) -> tuple[Authenticate, RightsOf, str | None]:
        """For a listener that anybody can reach: who authenticates, what they may do, and the token to tell."""
        if self._authenticate is not None:
            return self._authenticate, of_principal, None
        if self._token is None and self._needs_token:
            self._token = new_token()
        known = list(self._others)
        if self._token is not None:
            known.append((self._token, replace(LOCAL, roles=self._roles)))
        return any_token(known), of_principal, self._token

    def from_parent(self, launch_token: str | None) -> tuple[Authenticate, RightsOf, str | None]:
        """For the pipe, which the parent alone can reach.

        Args:
            launch_token: what the parent will show, in its own name and for the windows that it lends a channel to. It is
                good here only, and gives no role: the parent says what a window may do.
        """
        if self._authenticate is not None:
            return self._authenticate, of_parent, None
        token = launch_token or self._token
        if token is None:
            return no_token, of_parent, None
        return any_token([(token, LOCAL)]), of_parent, token
