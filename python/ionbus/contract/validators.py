"""What validates and writes the values of a type, made once for all payloads that are of one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast
from weakref import WeakValueDictionary

from pydantic import TypeAdapter
from pydantic_core import SchemaSerializer, SchemaValidator

from ionbus.contract.direct import Direct, direct
from ionbus.contract.policy import Policy
from ionbus.contract.wire_form import ValueForm

__all__ = ["Validators", "validators_of"]


class Validators:
    """See the module.

    Attributes:
        validate: gives the valid value that is meant, in the wire's spelling.
        to_python: gives a valid value as plain data.
        has_wide_integers: whether an integer in it is declared as one of 64 bits.
        direct: how values become plain data in one step, where the type allows it.
    """

    __slots__ = ("__weakref__", "_core_schema", "direct", "has_wide_integers", "to_python", "validate")

    validate: Callable[..., Any]
    to_python: Callable[..., object]
    has_wide_integers: bool
    direct: Direct | None

    def __init__(self, adapter: TypeAdapter[Any], policy: Policy) -> None:
        self._core_schema = adapter.core_schema  # as long as it lives, its id is its own
        form = ValueForm(policy.applied(adapter.core_schema))
        schema = cast("Any", form.schema)
        # Without `_use_prebuilt=False`, models nested in the type bring the validators of their own classes, which look
        # neither into instances nor at the wire's spelling.
        self.validate = SchemaValidator(schema, _use_prebuilt=False).validate_python
        self.has_wide_integers = form.has_wide_integers
        if (
            form.has_own_serializers or policy.extra == "allow"
        ):  # the models' own do not know of fields that are kept
            self.to_python = SchemaSerializer(schema, _use_prebuilt=False).to_python
            self.direct = None
        else:
            self.to_python = adapter.serializer.to_python
            self.direct = direct(schema)


_known: Final[WeakValueDictionary[tuple[int, Policy], Validators]] = WeakValueDictionary()


def validators_of(adapter: TypeAdapter[Any], policy: Policy) -> Validators:
    """Those of a complete type under a policy. Adapters of one model have one core schema, by which it is known again."""
    key = id(adapter.core_schema), policy
    known = _known.get(key)
    if known is None:
        known = _known[key] = Validators(adapter, policy)
    return known
