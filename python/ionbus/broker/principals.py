"""Who a client is, and what it may do: roles of a principal against roles that members ask for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ionbus.channels.base import PeerIdentity
from ionbus.contract.contract import Member

MAX_TOLD_BYTES = 4_096
"""Of what WELCOME tells of rights, since it has to fit into one small frame; a longer list is left out."""

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a client is, as `authenticate` may give it.

    Two are equal where their names are: roles may change while a session lives.

    Args:
        name: tells this client's owner apart from others; a session can be resumed by its own principal only.
        roles: what it may use of what asks for a role.
    """

    name: str
    roles: AbstractSet[str] = field(default=frozenset(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "roles", checked_roles(self.roles, f"the principal {self.name!r}"))


@dataclass(frozen=True, slots=True)
class Rights:
    """What a session may do: all that its roles allow besides what needs none. `roles` None: everything."""

    roles: frozenset[str] | None

    def allow(self, member: Member) -> bool:
        """Whether a member may be used: called, read, published, subscribed to."""
        return not member.roles or self.roles is None or not self.roles.isdisjoint(member.roles)

    def told(self, members: Collection[Member]) -> dict[str, list[str]] | None:
        """What WELCOME says of them (docs/protocol.md, section 8.8): None where no member is withheld.

        It spares clients a way for nothing; what is enforced does not depend on it.
        """
        if self.roles is None:
            return None
        withheld = [member.name for member in members if not self.allow(member)]
        if not withheld:
            return None
        patterns = covering(withheld, [member.name for member in members if self.allow(member)])
        return {"withheld": patterns} if sum(map(len, patterns)) <= MAX_TOLD_BYTES else None


EVERYTHING = Rights(None)
"""Of who started the broker, and of who is in the same process."""

RightsOf = Callable[[PeerIdentity, Any], Rights]
"""What a channel's client may do, from what the channel knows of it and from its principal."""


def of_principal(_: PeerIdentity, principal: Any) -> Rights:
    """What its principal's roles allow: for channels that anybody can open who has a token."""
    return Rights(roles_of(principal))


def of_parent(identity: PeerIdentity, principal: Any) -> Rights:
    """Everything for the parent's own channel; for those that it opens for others what it says, and what their principal allows."""
    return EVERYTHING if identity.role == "main" else Rights(identity.roles | roles_of(principal))


def of_everybody(rights: Rights) -> RightsOf:
    """The same for all: for channels that nobody else can open."""
    return lambda identity, principal: rights


def roles_of(principal: Any) -> frozenset[str]:
    """The roles of what `authenticate` gave: those that its attribute `roles` holds, or none.

    Raises:
        TypeError: it holds something else.
    """
    roles = getattr(principal, "roles", None)
    return frozenset() if roles is None else checked_roles(roles, f"{type(principal).__name__}.roles")


def with_roles(principal: P, rights: Rights) -> P:
    """A `Principal` with the roles that its session has; anything else as it is."""
    if isinstance(principal, Principal) and rights.roles is not None:
        return replace(principal, roles=rights.roles)
    return principal


def checked_roles(roles: object, where: str) -> frozenset[str]:
    """Give a set of roles, where it is one.

    Raises:
        TypeError: it is not.
    """
    if isinstance(roles, (str, bytes)) or not isinstance(roles, Iterable):
        raise TypeError(f"{where}: roles are a set of texts, as {{'admin'}}, not a {type(roles).__name__}")
    found = frozenset(roles)
    if not all(isinstance(role, str) for role in found):
        raise TypeError(f"{where}: roles are a set of texts, as {{'admin'}}")
    return found


def covering(names: Iterable[str], others: Collection[str], prefix: str = "") -> list[str]:
    """Few patterns that match all names and none of the others: `conductor.nodes.**` for all that is below it."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name[len(prefix) :].partition(".")[0], []).append(name)
    patterns: list[str] = []
    for segment, found in groups.items():
        whole = f"{prefix}{segment}"
        if found == [whole]:
            patterns.append(whole)
            continue
        below = [name for name in others if name.startswith(f"{whole}.")]
        patterns += covering(found, below, f"{whole}.") if below else [f"{whole}.**"]
    return patterns
