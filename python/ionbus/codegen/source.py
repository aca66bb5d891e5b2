"""Finds the contracts that a SOURCE on the command line means."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from ionbus.codegen.asyncapi import FILE_ENDINGS, is_written_by_ionbus, parse, read_asyncapi
from ionbus.codegen.model import CodegenError
from ionbus.codegen.python import load_python
from ionbus.codegen.reader import read_contract
from ionbus.contract.contract import Contract, ContractInfo, is_contract
from ionbus.contract.description import ContractDescription, describe_contract

T = TypeVar("T")

__all__ = ["describe", "is_file", "load", "load_file", "read_document"]


def describe(source: str) -> list[ContractDescription]:
    """Give the outermost contracts of a source as plain data, in the order of their names.

    Args:
        source: an AsyncAPI file, or what `load` takes.

    Raises:
        CodegenError: as for `load` and `load_file`.
        Exception: whatever importing the module raises.
    """
    if is_file(source):
        return [load_file(Path(source))]
    return [describe_contract(contract) for contract in load(source)]


def is_file(source: str) -> bool:
    """Whether a source is a file, not a module."""
    return Path(source).suffix in FILE_ENDINGS


def load_file(path: Path) -> ContractDescription:
    """Give the contract of an AsyncAPI file.

    What ionbus exported is read as it is. What a person wrote or changed says less (not how a model with defaults is
    received, for one); it is read by way of the Python that is generated from it, so that both sides agree.

    Raises:
        CodegenError: there is no such file, or it holds no contract; the message says where and why.
    """
    document = parse(path)
    contract = _foreseen(str(path), read_asyncapi, document, str(path))
    if is_written_by_ionbus(document, contract):
        return contract
    try:
        return load_python(contract)
    except CodegenError as error:
        raise CodegenError(f"{path}: {error}") from error
    except _UNFORESEEN as error:
        raise _wrong(str(path), error) from error


def read_document(document: Mapping[str, Any], where: str) -> ContractDescription:
    """Give the contract of an AsyncAPI document, from which a model can be made.

    Args:
        document: the file's content.
        where: the file, for messages.

    Raises:
        CodegenError: it holds no contract; the message says where and why, as far as that is foreseen.
    """
    contract = _foreseen(where, read_asyncapi, document, where)
    _foreseen(where, read_contract, contract)
    return contract


_UNFORESEEN = (AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def _foreseen(where: str, read: Callable[..., T], *arguments: Any) -> T:
    try:
        return read(*arguments)
    except CodegenError:
        raise
    except _UNFORESEEN as error:
        raise _wrong(where, error) from error


def _wrong(where: str, error: Exception) -> CodegenError:
    return CodegenError(f"{where}: something in it is not what AsyncAPI has in its place ({error!r:.200})")


def load(source: str) -> list[ContractInfo]:
    """Give the outermost contracts of a source, in the order of their names.

    Args:
        source: a module ("myapp.contracts": every contract that it or a module below it defines) or one contract in
            it ("myapp.contracts:Conductor"). The current directory is searched too.

    Raises:
        CodegenError: there is no such module or contract, or none in it.
        Exception: whatever importing the module raises.
    """
    module_name, _, attribute = source.partition(":")
    module = _import(module_name, source)
    if attribute:
        found: object = module
        for step in attribute.split("."):
            found = getattr(found, step, None)
        if not is_contract(found):
            known = ", ".join(sorted(_contracts(module))) or "none"
            raise CodegenError(f"{source}: no contract {attribute!r} in {module_name}; it has {known}")
        if not _is_outermost(found):
            raise CodegenError(f"{source}: {attribute} is inside another contract; name the outermost one")
        return [found.__contract__]
    contracts = _contracts(module)
    if not contracts:
        raise CodegenError(
            f"{source}: the module defines no contract; a contract is a class that extends ionbus.Contract"
        )
    return sorted((contract.__contract__ for contract in contracts.values()), key=lambda info: info.name)


def _import(name: str, source: str) -> ModuleType:
    if not all(step.isidentifier() for step in name.split(".")):
        raise CodegenError(
            f"{source}: it is no module, as myapp.contracts, or one contract in it, as myapp.contracts:Name"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise CodegenError(
                f"{source}: there is no module {missing!r} here; run from the folder that holds it"
            ) from error
        raise


def _contracts(module: ModuleType) -> dict[str, type[Contract]]:
    """The outermost contracts that a module shows and that it, or a module below it, defines."""
    return {
        name: value
        for name, value in vars(module).items()
        if is_contract(value)
        and _is_outermost(value)
        and f"{value.__module__}.".startswith(f"{module.__name__}.")
    }


def _is_outermost(contract: type[Contract]) -> bool:
    info = vars(contract).get("__contract__")
    return isinstance(info, ContractInfo) and all(member.contract is info for member in info.members.values())
