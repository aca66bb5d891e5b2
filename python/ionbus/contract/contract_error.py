"""Errors that a contract declares: the base class of those that users write."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model
from typing_extensions import dataclass_transform

from ionbus.contract.payload import Payload
from ionbus.errors import RESERVED_CODES, IonbusError

__all__ = ["ContractError"]

_CODE = re.compile(r"[a-z][a-z0-9_]*")

# What Python's or TypeScript's error classes have already, so that a field of that name would hide it.
_TAKEN = frozenset({"args", "cause", "code", "details", "fields", "from_wire", "message", "name", "stack"})


@dataclass_transform(kw_only_default=True, field_specifiers=(Field,))
class _Declared:
    """Tells type checkers that annotated names become keyword arguments."""


class ContractError(_Declared, IonbusError):
    """An error that reaches the caller with its fields, because the call or stream declares it in `raises`.

    A subclass sets `code` and annotates its fields, which are given by keyword and validated like a model's:

        class FlowInvalid(ContractError):
            \"\"\"The flow cannot run as given.\"\"\"
            code = "flow_invalid"
            node_ids: list[str]

        raise FlowInvalid(node_ids=["a"])

    Args:
        message: what to say; the first line of the class's docstring where it is left out.

    Raises:
        InvalidPayload: the fields do not fit their annotations.
    """

    __payload__: ClassVar[Payload[Any]]
    if TYPE_CHECKING:
        message: str = ""
    else:

        def __init__(self, message: str = "", **fields: object) -> None:
            if type(self) is ContractError:
                raise TypeError("ContractError cannot be raised itself; declare a subclass with a code")
            super().__init__(message or default_message(type(self)))
            validated = self.__payload__.validate(fields)
            for name in type(validated).model_fields:
                setattr(self, name, getattr(validated, name))

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        where = cls.__name__
        code = cls.__dict__.get("code")
        if not isinstance(code, str):
            raise TypeError(f'{where}: a ContractError declares its code, e.g. code = "flow_invalid"')
        if not _CODE.fullmatch(code):
            raise TypeError(f"{where}: the code {code!r} is not in snake_case, e.g. 'flow_invalid'")
        if code in RESERVED_CODES:
            raise TypeError(f"{where}: the code {code!r} belongs to an error of ionbus; choose another")
        cls.__payload__ = Payload(_fields_model(cls), where)

    def details(self) -> dict[str, object]:
        """The fields, as plain data."""
        payload = self.__payload__
        values = {name: getattr(self, name) for name in payload.form.model_fields}
        dumped = payload.dump(values)
        assert isinstance(dumped, dict)
        return dumped

    @classmethod
    def from_wire(cls, message: str, details: Mapping[str, object]) -> Self:
        error = cls.__new__(cls)
        IonbusError.__init__(error, message)
        validated = cls.__payload__.validate(dict(details))
        for name in cls.__payload__.form.model_fields:
            setattr(error, name, getattr(validated, name))
        return error


def default_message(error: type[ContractError]) -> str:
    """The first line of the class's own docstring, else its code in words."""
    doc = inspect.cleandoc(error.__dict__.get("__doc__") or "")
    return doc.split("\n", 1)[0] or error.code.replace("_", " ")


def _fields_model(error: type[ContractError]) -> type[BaseModel]:
    """Make the model that validates the error's annotated fields."""
    frame = sys._getframe(2)  # noqa: SLF001 - where the class statement runs: its names are in scope there
    try:
        hints = get_type_hints(error, localns=dict(frame.f_locals), include_extras=True)
    except NameError as problem:
        raise TypeError(
            f"{error.__name__}: an annotation names {problem.name!r}, which is not known here; "
            "declare that type above the error"
        ) from problem
    lineage = error.__mro__[: error.__mro__.index(ContractError)]
    declared = {name for base in lineage for name in inspect.get_annotations(base)}
    fields: dict[str, Any] = {}
    for name, hint in hints.items():
        if name not in declared or get_origin(hint) is ClassVar or hint is ClassVar:
            continue
        if name in _TAKEN or name.startswith("_"):
            raise TypeError(
                f"{error.__name__}.{name}: this name is taken by errors themselves; rename the field"
            )
        fields[name] = (hint, getattr(error, name, ...))
    config = ConfigDict(extra="ignore", arbitrary_types_allowed=False, use_enum_values=False)
    return create_model(
        error.__name__,
        __config__=config,
        __module__=error.__module__,
        __doc__=error.__dict__.get("__doc__"),
        **fields,
    )
