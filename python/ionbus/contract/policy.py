"""How strictly a contract's payloads are validated, where their models do not say it themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ionbus.contract.wire_form import Copier

__all__ = ["AS_THE_MODELS_SAY", "Extra", "Policy", "read_policy"]

Extra: TypeAlias = Literal["ignore", "forbid", "allow"]
"""What becomes of fields that a model does not have: they are dropped, refused, or kept. Pydantic's words."""

_EXTRAS: Final = frozenset({"ignore", "forbid", "allow"})
_WITH_FIELDS: Final = frozenset({"model", "dataclass", "typed-dict"})
# The wire has types of its own for these (docs/types.md): what arrives for them is no other type that could be converted.
_OWN_TYPES: Final = frozenset(
    {"bool", "bytes", "date", "datetime", "decimal", "float", "int", "str", "time", "timedelta", "uuid"}
)


@dataclass(frozen=True, slots=True)
class Policy:
    """See the module.

    Attributes:
        strict: whether a value of another type is refused where it could be converted, as the text "5" for an integer.
        extra: what becomes of fields that a model does not have; None: what each model says, or else they are dropped.
    """

    strict: bool = False
    extra: Extra | None = None

    def applied(self, schema: object) -> object:
        """A pydantic core schema under this policy; one that says something itself is left as it is."""
        return schema if self == AS_THE_MODELS_SAY else _Applied(self).copy(schema)


AS_THE_MODELS_SAY: Final = Policy()


def read_policy(where: str, strict: object, extra: object) -> Policy:
    """The policy that a contract class asks for.

    Args:
        where: the class, for the error.
        strict: its argument of that name.
        extra: its argument of that name.

    Raises:
        TypeError: one is not what it may be.
    """
    if not isinstance(strict, bool):
        raise TypeError(f"{where}: strict is True or False, not {strict!r}")
    if extra is not None and extra not in _EXTRAS:
        raise TypeError(f'{where}: extra is "ignore", "forbid" or "allow", not {extra!r}')
    return Policy(strict, extra)  # type: ignore[arg-type] # mypy does not narrow by membership in a frozenset


class _Applied(Copier):
    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def changed(self, copy: dict[str, Any]) -> dict[str, Any]:
        kind = copy.get("type")
        if self._policy.strict and kind in _OWN_TYPES:
            copy.setdefault("strict", True)
        elif self._policy.extra is not None and kind in _WITH_FIELDS:
            config = copy.get("config") or {}
            if copy.get("extra_behavior") == "ignore" and "extra_fields_behavior" not in config:
                copy["extra_behavior"] = (
                    self._policy.extra
                )  # of a typed dict, which pydantic gives its default
            copy["config"] = {"extra_fields_behavior": self._policy.extra, **config}
        return copy
