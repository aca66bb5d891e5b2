"""Writes a contract that is a file as Python: pydantic models, error classes and the contract's class.

The models come from datamodel-code-generator (the extra `ionbus[codegen]`). What pydantic then says of them is the
contract, whatever the file left open, so both sides that are generated from one file agree.
"""

from __future__ import annotations

import sys
from types import ModuleType

from ionbus.codegen.model import CodegenError
from ionbus.codegen.python.writer import Writer
from ionbus.contract.contract import Contract, is_contract
from ionbus.contract.description import ContractDescription, describe_contract

__all__ = ["load_python", "module_name", "write_python"]

_IGNORED_RULES = "I001, INP001, N801, N815, PYI051, RUF012, RUF100"


def module_name(contract: str) -> str:
    """Give the name of the module that a contract goes into: `file_store.v2` goes into file_store_v2.py."""
    return contract.replace(".", "_").lower()


def write_python(contract: ContractDescription, head: str = "") -> dict[str, str]:
    """Give a contract's module, by the name of its file.

    Args:
        contract: as `read_asyncapi` gave it.
        head: a comment for the first line.

    Raises:
        CodegenError: datamodel-code-generator is missing, or a name or a type cannot be said in Python.
    """
    text = Writer(contract).module()
    first = f"# {head}\n" if head else ""
    return {
        f"{module_name(contract.name)}.py": (
            f"{first}# ruff: noqa: {_IGNORED_RULES}\n{_formatted(text, contract.name)}"
        )
    }


def load_python(contract: ContractDescription) -> ContractDescription:
    """Give the contract as it is once it is in Python, where what a file left open is settled.

    Raises:
        CodegenError: as for `write_python`, or the contract is refused where its class is made.
    """
    name = f"_ionbus_from_file_{module_name(contract.name)}"
    module = ModuleType(name)
    sys.modules[name] = module
    try:
        exec(compile(Writer(contract).module(), f"<{contract.name}>", "exec"), vars(module))  # noqa: S102 - ours
        (made,) = (
            value
            for value in list(vars(module).values())
            if is_contract(value) and value is not Contract and value.__module__ == name
        )
        return describe_contract(made.__contract__)
    except TypeError as error:
        raise CodegenError(f"{contract.name}: {error}") from error
    finally:
        del sys.modules[name]


def _formatted(text: str, contract: str) -> str:
    try:
        import black  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise CodegenError(
            f"{contract}: Python from a file needs black: pip install 'ionbus[codegen]'"
        ) from error
    return black.format_str(text, mode=black.Mode(line_length=100))
