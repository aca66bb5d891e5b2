"""Annotations for values that Python has no type of its own for: integers of 64 bits, and typed arrays.

An `int` of a contract is a `number` in JavaScript and checked to be one that loses no digits there; an `Int64` or a
`UInt64` is always a `bigint`. A `Float64Array` is an `array.array("d")` here and a `Float64Array` there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from ionbus.contract.schema import MARK
from ionbus.contract.wire_form import INT64

__all__ = [
    "Float32Array",
    "Float64Array",
    "Int8Array",
    "Int16Array",
    "Int32Array",
    "Int64",
    "Int64Array",
    "UInt8Array",
    "UInt16Array",
    "UInt32Array",
    "UInt64",
    "UInt64Array",
]

if TYPE_CHECKING:
    _Integers: TypeAlias = array[int]
    _Floats: TypeAlias = array[float]
else:  # an array can be subscripted from Python 3.12 on
    _Integers = _Floats = array

ElementName: TypeAlias = Literal[
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"
]

_TYPE_CODES: Final[dict[str, str]] = {
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}


class _Wide:
    """Declares an integer as one of 64 bits."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        schema = handler(source)
        if schema["type"] != "int":
            raise TypeError(f"Int64 and UInt64 stand for int, not for {source!r}")
        declared: Any = {**schema, "metadata": {**schema.get("metadata", {}), INT64: True}}
        return declared  # type: ignore[no-any-return]  # a copy of a core schema, of which mypy knows no more


@dataclass(frozen=True)
class _Elements:
    """Validates `array.array` of one kind of element; numbers and, where they are bytes, `bytes` become one."""

    name: ElementName

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        is_float = self.name.startswith("float")
        return {
            "type": "array",
            "items": {"type": "number" if is_float else "integer"},
            MARK: f"{self.name}array",
        }

    def _validate(self, value: object) -> array[Any]:
        code = _TYPE_CODES[self.name]
        if isinstance(value, array):
            if self._is_like(value):
                return value
        elif isinstance(value, (bytes, bytearray)):
            if self.name == "uint8":
                return array(code, bytes(value))
        elif isinstance(value, Iterable) and not isinstance(value, (str, dict)):
            try:
                return array(code, value)
            except (TypeError, ValueError, OverflowError):
                pass  # told below
        raise PydanticCustomError(
            "typed_array", "Input should be an array.array of {element}", {"element": self.name}
        )

    def _is_like(self, value: array[Any]) -> bool:
        """Whether its elements are of the same kind: on one machine "l" is "i", on another "q"."""
        code = _TYPE_CODES[self.name]
        same_kind = value.typecode in "fd" if code in "fd" else value.typecode.islower() == code.islower()
        return (
            same_kind
            and value.typecode not in "uw"
            and value.itemsize == array(code).itemsize
            and (code in "fd" or value.typecode not in "fd")
        )


Int64: TypeAlias = Annotated[int, _Wide(), Field(ge=-(2**63), le=2**63 - 1)]
"""A signed integer of 64 bits; `bigint` in TypeScript."""
UInt64: TypeAlias = Annotated[int, _Wide(), Field(ge=0, le=2**64 - 1)]
"""An unsigned integer of 64 bits; `bigint` in TypeScript."""

Int8Array: TypeAlias = Annotated[_Integers, _Elements("int8")]
UInt8Array: TypeAlias = Annotated[_Integers, _Elements("uint8")]
Int16Array: TypeAlias = Annotated[_Integers, _Elements("int16")]
UInt16Array: TypeAlias = Annotated[_Integers, _Elements("uint16")]
Int32Array: TypeAlias = Annotated[_Integers, _Elements("int32")]
UInt32Array: TypeAlias = Annotated[_Integers, _Elements("uint32")]
Int64Array: TypeAlias = Annotated[_Integers, _Elements("int64")]
UInt64Array: TypeAlias = Annotated[_Integers, _Elements("uint64")]
Float32Array: TypeAlias = Annotated[_Floats, _Elements("float32")]
Float64Array: TypeAlias = Annotated[_Floats, _Elements("float64")]
