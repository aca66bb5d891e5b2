"""A contract's canonical description and its fingerprint (docs/protocol.md, section 11).

The description holds what the two sides must agree on and nothing else: no docs, titles, time-outs or versions, so that
a comment does not change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ionbus.contract.description import canonical_json, describe_contract

if TYPE_CHECKING:
    from ionbus.contract.contract import ContractInfo

__all__ = ["canonical_json", "describe", "fingerprint"]


def fingerprint(contract: ContractInfo) -> str:
    """Give the first 32 hexadecimal digits of the SHA-256 of the contract's canonical description."""
    return describe_contract(contract).fingerprint


def describe(contract: ContractInfo) -> dict[str, Any]:
    """Give the contract's canonical description, as plain data."""
    return describe_contract(contract).canonical()
