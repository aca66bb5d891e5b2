"""What a change of a contract is called, and where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeAlias

Flow: TypeAlias = Literal["client", "broker"]
"""Whose message it is: what clients send, or what the broker sends."""
Json: TypeAlias = Mapping[str, Any]


class Rule(StrEnum):
    """The kinds of changes; docs/evolution.md has a row for each, in this order."""

    MEMBER_ADDED = "member added"
    EVENT_REMOVED = "event removed"
    CLIENT_EVENT_REMOVED = "event of clients removed"
    SERVED_REMOVED = "call or stream removed, served by the broker"
    HANDLED_REMOVED = "call or stream removed, served by clients"
    KIND_CHANGED = "event, call or stream changed into another of these"
    SERVED_BY_CHANGED = "served_by changed"
    SOURCE_TAKEN = "source changed, clients may no longer publish"
    SOURCE_CHANGED = "source changed in another way"
    DELIVERY_WEAKENED = "delivery promises less"
    DELIVERY_STRENGTHENED = "delivery promises more"
    KEY_COARSENED = "key changed"
    KEY_REFINED = "key has more fields"
    ERROR_ADDED = "error added"
    ERROR_REMOVED = "error removed"
    FIELD_ADDED = "field added, optional"
    FIELD_ADDED_REQUIRED = "field added, required"
    FIELD_REMOVED = "field removed, optional"
    FIELD_REMOVED_REQUIRED = "field removed, required"
    FIELD_FORBIDDEN = "field added or removed, and the reader forbids unknown ones"
    FIELD_REQUIRED = "field became required"
    FIELD_OPTIONAL = "field became optional"
    DEFAULT_CHANGED = "default changed"
    EXTRAS_FORBIDDEN = "unknown fields became forbidden"
    EXTRAS_ALLOWED = "unknown fields became allowed"
    TYPE_WIDENED = "type widened"
    TYPE_NARROWED = "type narrowed"
    TYPE_CHANGED = "type changed"
    VALUE_ADDED = "enum value added"
    VALUE_REMOVED = "enum value removed"
    OPTION_ADDED = "union member added"
    OPTION_REMOVED = "union member removed"
    TIGHTENED = "constraint tightened"
    LOOSENED = "constraint loosened"
    CONSTRAINT_CHANGED = "constraint changed"


class Incomparable(Exception):
    """A description that is none, or that asks for more work than is done for it; the message says which."""


@dataclass(frozen=True)
class Change:
    """One difference between two contracts.

    Args:
        contract: its name.
        member: the member's name below the contract, or "error CODE" for the fields of an error.
        path: the part of the member and the field in it: "request.flow.nodes[].id"; "" for the member itself.
        flow: whose messages it concerns.
        rule: what it is.
        is_breaking: whether an old client and a new broker misunderstand each other by it.
        detail: what was and what is, in words; may be "".
    """

    contract: str
    member: str
    path: str
    flow: Flow
    rule: Rule
    is_breaking: bool
    detail: str = ""

    def __str__(self) -> str:
        where = f"{self.contract}.{self.member}{' ' if self.path else ''}{self.path}"
        return f"{where}: {self.rule}{f' ({self.detail})' if self.detail else ''}"
