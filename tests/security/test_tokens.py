"""Tokens: which are good, for whom, how often, and that checking them tells nothing about them."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import pytest

from ionbus import NotAllowed, Principal, Unauthenticated, connect
from ionbus.broker.access import Access
from ionbus.broker.principals import Rights
from ionbus.broker.tokens import LOCAL, MAX_SPENT, MAX_UNUSED, OneUseTokens, any_token, new_token
from security.vault import Vault, make_vault

ONE, OTHER = b"a" * 16, b"b" * 16


# Which are good.


async def test_each_token_gives_its_roles_and_no_others() -> None:
    broker, seen = make_vault()
    tokens: dict[str, Principal | set[str]] = {
        "boss": {"admin"},
        "guest": set(),
        "anna": Principal("anna", {"auditor"}),
    }
    async with broker.serve("ws://127.0.0.1:0", tokens=tokens) as (endpoint,):
        assert endpoint.token is None
        async with connect(endpoint.url, token="boss") as boss:
            assert await boss.call(Vault.unlock, "front") == "open"
            await boss.call(Vault.read)
        async with connect(endpoint.url, token="guest") as guest:
            await guest.call(Vault.read)
            with pytest.raises(NotAllowed):
                await guest.call(Vault.unlock, "front")
        async with connect(endpoint.url, token="anna") as anna:
            await anna.call(Vault.read)
            async with anna.stream(Vault.audit, 1) as numbers:
                assert [number async for number in numbers] == [0]
        for wrong in (None, "", "bos", "bosss", "BOSS", "boss ", "boss\0"):
            with pytest.raises(Unauthenticated):
                async with connect(endpoint.url, token=wrong):
                    pass
    assert [getattr(principal, "name", None) for principal in seen.principals] == [
        "token 1",
        "token 2",
        "anna",
    ]


async def test_token_and_roles_beside_them() -> None:
    broker, _ = make_vault()
    async with broker.serve("ws://127.0.0.1:0", token="mine", roles={"admin"}, tokens={"guest": set()}) as (
        endpoint,
    ):
        assert endpoint.token == "mine"
        async with connect(endpoint.url, token="mine") as bus:
            assert await bus.call(Vault.unlock, "front") == "open"
        async with connect(endpoint.url, token="guest") as bus:
            with pytest.raises(NotAllowed):
                await bus.call(Vault.unlock, "front")


async def test_one_token_gives_no_role_unless_it_is_said() -> None:
    broker, _ = make_vault()
    async with (
        broker.serve("ws://127.0.0.1:0") as (endpoint,),
        connect(endpoint.url, token=endpoint.token) as bus,
    ):
        with pytest.raises(NotAllowed):
            await bus.call(Vault.unlock, "front")


@pytest.mark.parametrize(
    ("options", "kind", "problem"),
    [
        ({"tokens": ["a"]}, TypeError, r"tokens= maps each token to its roles.*it is a list"),
        ({"tokens": {"hunter2": "admin"}}, TypeError, r"the 1\. token: roles are a set of texts"),
        ({"tokens": {"hunter2": None}}, TypeError, r"the 1\. token: roles are a set of texts"),
        ({"tokens": {"a": set(), b"hunter2": set()}}, TypeError, r"the 2\. token is a bytes"),
        ({"tokens": {"": {"admin"}}}, ValueError, r"the 1\. token is empty, which is no secret"),
        ({"token": ""}, ValueError, r"token= is empty, which is no secret"),
        ({"token": "hunter2", "roles": "admin"}, TypeError, r"roles=: roles are a set of texts"),
        ({"tokens": {"hunter2": set()}, "roles": {"admin"}}, TypeError, r"roles= is what token= gives"),
        ({"authenticate": "hunter2"}, TypeError, r"authenticate is a function of the token, not a str"),
        ({"authenticate": print, "roles": {"a"}}, TypeError, r"authenticate= decides about every token"),
        ({"authenticate": print, "tokens": {}}, TypeError, r"authenticate= decides about every token"),
    ],
)
def test_what_lets_in_somebody_else_than_meant_is_refused_and_shows_no_token(
    options: dict[str, Any], kind: type[Exception], problem: str
) -> None:
    with pytest.raises(kind, match=problem) as refused:
        Access(**options)
    assert "hunter2" not in str(refused.value)


def test_no_tokens_let_nobody_in() -> None:
    authenticate, _, token = Access(tokens={}).from_anywhere()
    assert token is None
    assert authenticate("") is None
    assert authenticate(None) is None


# What is minted.


def test_tokens_are_of_256_bits_and_never_the_same() -> None:
    made = {new_token() for _ in range(1_000)}
    assert len(made) == 1_000
    assert all(len(token) == 43 for token in made)  # 32 bytes in base64


async def test_the_token_of_a_broker_is_minted_at_each_start() -> None:
    seen = set()
    for _ in range(3):
        broker, _ = make_vault()
        async with broker.serve("ws://127.0.0.1:0") as (endpoint,):
            seen.add(endpoint.token)
    assert len(seen) == 3


# How they are checked.


def test_all_tokens_are_compared_in_constant_time_whichever_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    really = secrets.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return really(one, other)

    authenticate = any_token([(token, Principal(token)) for token in ("a", "b" * 500, "c")])
    monkeypatch.setattr(secrets, "compare_digest", compare)
    for given, found in (
        ("a", "a"),
        ("b" * 500, "b" * 500),
        ("c", "c"),
        ("nobody", None),
        ("", None),
        (None, None),
    ):
        compared.clear()
        assert getattr(authenticate(given), "name", None) == found
        assert len(compared) == 3
        assert {len(part) for pair in compared for part in pair} == {
            32
        }  # digests: nothing about lengths either


def test_what_is_no_text_of_unicode_is_no_token() -> None:
    authenticate = any_token([("?", LOCAL)])
    assert authenticate("\ud800") is None


# One-use tokens.


@pytest.fixture
def one_use() -> OneUseTokens:
    return OneUseTokens(lifetime=60.0)


def test_a_one_use_token_is_good_for_the_session_that_it_opens(one_use: OneUseTokens) -> None:
    token = one_use.mint("anna", 0.0, ["admin"])
    assert one_use.redeem(token, ONE, 1.0) == ("anna", Rights(frozenset({"admin"})))
    assert one_use.redeem(token, OTHER, 2.0) is None
    assert one_use.redeem(token, ONE, 3.0) is not None  # WELCOME was lost: the same client comes again
    one_use.spend(token)
    assert one_use.redeem(token, ONE, 4.0) is None
    assert one_use.redeem(token, OTHER, 4.0) is None


def test_it_expires(one_use: OneUseTokens) -> None:
    token = one_use.mint("anna", 0.0)
    assert one_use.redeem(token, ONE, 59.9) is not None
    assert one_use.redeem(token, ONE, 60.0) is None


def test_it_is_taken_back_with_its_session(one_use: OneUseTokens) -> None:
    token, unused = one_use.mint("anna", 0.0), one_use.mint("anna", 0.0)
    one_use.redeem(token, ONE, 1.0)
    one_use.spend(token)
    assert one_use.revoke(token) == ONE
    assert one_use.revoke(token) is None
    assert one_use.revoke(unused) is None
    assert one_use.redeem(unused, ONE, 1.0) is None
    assert one_use.revoke("never made") is None


def test_its_number_is_bounded_and_the_oldest_go_first(one_use: OneUseTokens) -> None:
    made = [one_use.mint("anna", 0.0) for _ in range(MAX_UNUSED + 5)]
    assert [one_use.redeem(token, ONE, 1.0) is None for token in made[:6]] == [True] * 5 + [False]
    later = one_use.mint("anna", 100.0)  # what has expired goes
    assert one_use.redeem(later, ONE, 100.0) is not None
    assert one_use.redeem(made[-1], ONE, 1.0) is None


def test_so_is_the_number_of_spent_ones_that_are_remembered(one_use: OneUseTokens) -> None:
    tokens = []
    for number in range(MAX_SPENT + 1):
        token = one_use.mint("anna", 0.0)
        one_use.redeem(token, number.to_bytes(16, "big"), 0.0)
        one_use.spend(token)
        tokens.append(token)
    assert one_use.revoke(tokens[0]) is None
    assert one_use.revoke(tokens[1]) == (1).to_bytes(16, "big")


def test_it_has_the_roles_that_were_asked_for_whatever_its_principal_has(one_use: OneUseTokens) -> None:
    token = one_use.mint(Principal("boss", {"admin"}), 0.0, ["auditor"])
    redeemed = one_use.redeem(token, ONE, 1.0)
    assert redeemed is not None
    principal, rights = redeemed
    assert principal.name == "boss"
    assert principal.roles == {"auditor"}
    assert rights == Rights(frozenset({"auditor"}))


def test_they_are_kept_by_their_digests(one_use: OneUseTokens) -> None:
    token = one_use.mint("anna", 0.0)
    kept = repr(vars(one_use))
    assert token not in kept
    assert repr(hashlib.sha256(token.encode()).digest()) in kept
