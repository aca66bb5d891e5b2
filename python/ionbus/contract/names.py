"""Names: what a contract or a member may be called, and how a name is spelled in the other language."""

from __future__ import annotations

import re
from typing import Final

from ionbus.generated.protocol import Limits

__all__ = ["camel_case", "check_contract_name", "check_member_name", "pascal_case"]

_MEMBER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_CONTRACT = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")
MAX_NAME_BYTES: Final = Limits().max_name_bytes
"""The longest full name on the wire (docs/protocol.md, section 9)."""


def camel_case(name: str) -> str:
    """Spell a Python name as TypeScript does: `pick_file` becomes `pickFile`; what has no underscore stays."""
    head, *rest = [word for word in name.split("_") if word]
    return head + "".join(word[0].upper() + word[1:] for word in rest)


def pascal_case(name: str) -> str:
    """Spell a contract's name as a TypeScript namespace: `file_store.v2` becomes `FileStoreV2`."""
    words = [word for word in re.split(r"[._]", name) if word]
    return "".join(word[0].upper() + word[1:] for word in words)


def check_contract_name(name: str, where: str) -> None:
    """Refuse a contract's name that cannot travel.

    Args:
        name: as declared, e.g. "conductor".
        where: the class, for the message.

    Raises:
        TypeError: it is not words of letters, digits and underscores joined by dots, or too long.
    """
    given: object = name
    if not (isinstance(given, str) and _CONTRACT.fullmatch(given)):
        raise TypeError(
            f"{where}: the contract name {name!r} cannot be used; "
            "take letters, digits and underscores, beginning with a letter, e.g. name='conductor'"
        )
    if len(name) > MAX_NAME_BYTES:
        raise TypeError(f"{where}: the contract name is longer than {MAX_NAME_BYTES} characters")


def check_member_name(name: str, where: str) -> None:
    """Refuse a member's name that cannot travel.

    Args:
        name: the attribute's name.
        where: the class, for the message.

    Raises:
        TypeError: it does not begin with a letter, or has other characters than letters, digits, underscores.
    """
    if not _MEMBER.fullmatch(name):
        raise TypeError(
            f"{where}.{name}: a member's name begins with a letter and has only letters, digits and "
            "underscores in it; rename it"
        )
