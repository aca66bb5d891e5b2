"""Contracts: named, versioned sets of events, calls and streams that both sides agree on."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from typing_extensions import TypeIs

from ionbus.contract.contract_error import ContractError
from ionbus.contract.fingerprint import fingerprint
from ionbus.contract.members import Call, Delivery, Event, Member, ServedBy, Source, Stream
from ionbus.contract.names import MAX_NAME_BYTES, camel_case, check_contract_name, check_member_name
from ionbus.contract.policy import AS_THE_MODELS_SAY, Extra, Policy, read_policy
from ionbus.contract.received import Received

__all__ = [
    "Call",
    "Contract",
    "ContractError",
    "ContractInfo",
    "Delivery",
    "Event",
    "Member",
    "Received",
    "ServedBy",
    "Source",
    "Stream",
    "is_contract",
]

_VERSION = re.compile(r"\d+(\.\d+){0,2}")


@dataclass(frozen=True, eq=False)
class ContractInfo:
    """What a contract class says, as plain data: `Conductor.__contract__`.

    Args:
        name: the full name, e.g. "conductor", or "conductor.nodes" for a nested one.
        version: the outermost contract's version.
        doc: the class's docstring, or "".
        members: every event, call and stream by its name below the contract, those of nested ones included:
            "progress", "nodes.registered".
        nested: the contracts directly inside this one, by attribute.
        errors: every declared error by its code.
        policy: how strictly payloads are validated.
    """

    name: str
    version: str
    doc: str
    members: Mapping[str, Member]
    nested: Mapping[str, ContractInfo] = field(default_factory=dict)
    errors: Mapping[str, type[ContractError]] = field(default_factory=dict)
    policy: Policy = AS_THE_MODELS_SAY

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that change when what the two sides agree on changes; made on first use."""
        return fingerprint(self)


class Contract:
    """The base of contracts: a subclass holds events, calls, streams and nested contracts.

        class Conductor(Contract, name="conductor", version="1.0"):
            progress = Event(NodeProgress, delivery="latest", key="node_id")

    Args:
        name: the name on the wire, e.g. "conductor". A contract inside another takes its attribute's name.
        version: up to three numbers, e.g. "1.0" (default). A contract inside another has the outermost one's.
        strict: whether payloads of this contract are taken as they are: the text "5" is no integer then. Otherwise what pydantic
            can convert is converted. What a field or model says itself (`Field(strict=…)`) counts for it.
        extra: what becomes of fields that a model does not have: "ignore" drops them, "forbid" refuses the payload, "allow" keeps
            them. None: what each model says in its `model_config`, which always counts; pydantic's default is to drop them.
            A contract inside another has the outermost one's rules.

    Raises:
        TypeError: a name, a member or an error code is not right; the message says which and what to do.
    """

    __contract__: ClassVar[ContractInfo]

    def __init__(self) -> None:
        name = type(self).__name__
        raise TypeError(f"{name}: a contract is never instantiated; use its members: {name}.…")

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        version: str | None = None,
        strict: bool = False,
        extra: Extra | None = None,
    ) -> None:
        super().__init_subclass__()
        where = cls.__qualname__.rpartition("<locals>.")[2]
        if Contract not in cls.__bases__:
            raise TypeError(
                f"{where}: a contract cannot extend another; nest one in the other, or declare its own members"
            )
        members = _own_members(cls, where)
        for member_name, member in members.items():
            member.check(f"{where}.{member_name}")
        policy = read_policy(where, strict, extra)
        if name is None:
            if "." not in where:
                raise TypeError(
                    f'{where}: a contract has a name on the wire: class {where}(Contract, name="…")'
                )
            if version is not None:
                raise TypeError(
                    f"{where}: a contract inside another has the outermost one's version; drop version="
                )
            if policy != AS_THE_MODELS_SAY:
                raise TypeError(
                    f"{where}: a contract inside another has the outermost one's rules; drop strict= and extra="
                )
            return  # the contract around it names it
        check_contract_name(name, where)
        version = "1.0" if version is None else version
        given: object = version
        if not (isinstance(given, str) and _VERSION.fullmatch(given)):
            raise TypeError(f"{where}: version {version!r} is not up to three numbers, e.g. version='1.0'")
        info = _describe(cls, name, version, where, policy)
        for relative_name, member in info.members.items():
            member.bind(f"{name}.{relative_name}", info)


def _own_members(contract: type[Contract], where: str) -> dict[str, Member]:
    """Give the events, calls and streams that the class itself declares, names checked."""
    members: dict[str, Member] = {}
    spelled: dict[str, str] = {}
    for name, value in vars(contract).items():
        if name.startswith("__"):
            continue
        if inspect.isroutine(value) or isinstance(value, property):
            raise TypeError(
                f"{where}.{name}: a contract holds events, calls, streams and contracts, and does nothing itself; "
                "move the function out of it"
            )
        if not (isinstance(value, Member) or is_contract(value)):
            continue  # a model or a type alias that only this contract uses
        check_member_name(name, where)
        other = spelled.setdefault(camel_case(name), name)
        if other != name:
            raise TypeError(
                f"{where}.{name}: it and {other} are both {camel_case(name)} in TypeScript; rename one"
            )
        if isinstance(value, Member):
            members[name] = value
    return members


def is_contract(value: object) -> TypeIs[type[Contract]]:
    """Whether a value is a contract class, nested ones included."""
    return isinstance(value, type) and issubclass(value, Contract)


def _describe(contract: type[Contract], name: str, version: str, where: str, policy: Policy) -> ContractInfo:
    """Make the information of a contract and of those inside it."""
    members = _own_members(contract, where)
    every: dict[str, Member] = {}
    nested: dict[str, ContractInfo] = {}
    errors: dict[str, type[ContractError]] = {}
    for attribute, value in vars(contract).items():
        if attribute in members:
            every[attribute] = members[attribute]
            _add_errors(errors, members[attribute].raises, f"{where}.{attribute}")
        elif is_contract(value):
            if "__contract__" in vars(value):
                raise TypeError(
                    f"{where}.{attribute}: a contract inside another takes the attribute's name; drop its name= and version="
                )
            inner = _describe(value, f"{name}.{attribute}", version, f"{where}.{attribute}", policy)
            nested[attribute] = inner
            every.update({f"{attribute}.{below}": member for below, member in inner.members.items()})
            _add_errors(errors, tuple(inner.errors.values()), f"{where}.{attribute}")
    for relative_name in every:
        if len(f"{name}.{relative_name}") > MAX_NAME_BYTES:
            raise TypeError(
                f"{where}.{relative_name}: its full name is longer than {MAX_NAME_BYTES} characters"
            )
    info = ContractInfo(
        name, version, inspect.cleandoc(contract.__doc__ or ""), every, nested, errors, policy
    )
    contract.__contract__ = info
    return info


def _add_errors(
    known: dict[str, type[ContractError]], errors: tuple[type[ContractError], ...], where: str
) -> None:
    for error in errors:
        other = known.setdefault(error.code, error)
        if other is not error:
            raise TypeError(
                f"{where}: {error.__name__} and {other.__name__} both have the code {error.code!r}; change one"
            )
