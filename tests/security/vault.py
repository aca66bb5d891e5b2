"""A contract with something for everybody and something for administrators, and a broker that serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from pydantic import BaseModel

from ionbus import Broker, Call, Context, Contract, Event, Stream
from ionbus.generated.protocol import Limits


class Level(BaseModel):
    tank: str
    litres: int


class Vault(Contract, name="vault", version="1.0"):
    """What is locked asks for a role."""

    read = Call(None, str)
    unlock = Call(str, str, roles={"admin"})
    audit = Stream(int, int, roles={"admin", "auditor"})
    tell_me = Call(str, None)

    noticed = Event(str)
    unlocked = Event(str, roles={"admin"})
    level = Event(Level, delivery="latest", key="tank", roles={"admin"})
    knocked = Event(str, source="client")
    ordered = Event(str, source="client", roles={"admin"})
    whispered = Event(str, source="any", roles={"admin"})

    class cellar(Contract):  # noqa: N801
        """Something below."""

        open = Call(None, None)
        close = Call(None, None)


@dataclass
class Seen:
    """What the broker's handlers and listeners were given."""

    calls: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    principals: list[object] = field(default_factory=list)


def make_vault(limits: Limits | None = None) -> tuple[Broker, Seen]:
    """A broker, and what its handlers see."""
    broker: Broker = Broker(Vault, limits=limits)
    seen = Seen()

    @broker.handle(Vault.read)
    async def read(ctx: Context) -> str:
        seen.calls.append("read")
        seen.principals.append(ctx.principal)
        return "for everybody"

    @broker.handle(Vault.unlock)
    async def unlock(door: str) -> str:
        seen.calls.append(f"unlock {door}")
        return "open"

    @broker.handle(Vault.audit)
    async def audit(count: int) -> AsyncIterator[int]:
        seen.calls.append("audit")
        for number in range(count):
            yield number

    @broker.handle(Vault.tell_me)
    async def tell_me(text: str, ctx: Context) -> None:
        await ctx.emit(Vault.unlocked, text)
        await ctx.emit(Vault.level, Level(tank=text, litres=1))

    @broker.handle(Vault.cellar.open)
    async def open_cellar() -> None:
        seen.calls.append("cellar")

    @broker.handle(Vault.cellar.close)
    async def close_cellar() -> None: ...

    @broker.on(Vault.knocked)
    async def knocked(text: str) -> None:
        seen.events.append(text)

    @broker.on(Vault.ordered)
    async def ordered(text: str) -> None:
        seen.events.append(text)

    @broker.on(Vault.whispered)
    async def whispered(text: str) -> None:
        seen.events.append(text)

    return broker, seen


def make_broker() -> Broker:
    """For `ionbus serve security.vault:make_broker`."""
    return make_vault()[0]
