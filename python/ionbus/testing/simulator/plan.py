"""What a simulation does, as data: drawn from a seed, written as JSON, cut down by the shrinker."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal, Self

from ionbus.generated.protocol import Limits
from ionbus.session.outbox import Delivery

Role = Literal["client", "broker"]
Direction = Literal["to_broker", "to_client"]
Noticed = Literal["both", "client", "broker"]

SMALL: Final = replace(
    Limits(),
    handshake_ms=1_500,
    batch_elements=5,
    batch_bytes=300,
    ack_elements=4,
    replay_bytes=2_000,
    replay_elements=20,
    credit_bytes=400,
    credit_messages=12,
    max_queued_bytes=9_000,
    max_latest_keys=3,
    stream_credit_bytes=300,
    stream_credit_messages=5,
    transfer_threshold_bytes=200,
    transfer_part_bytes=90,
    transfer_ahead_bytes=270,
    max_message_bytes=2_500,
    max_assembly_bytes=4_000,
    absence_ms=6_000,
    slow_consumer_ms=4_000,
    remember_ended_ms=60_000,
    remember_ended=4,
    heartbeat_ms=700,
    silence_ms=2_000,
    retry_base_ms=40,
    retry_cap_ms=600,
    stable_ms=900,
)
"""Bounds that a short run reaches, and times that it waits for."""

NEVER_MS: Final = 1_000_000
"""When an end of a lost channel is told, where it has to find out by the silence."""

_VARIED: Final[dict[str, tuple[int, ...]]] = {
    "batch_elements": (2, 5, 12),
    "batch_bytes": (60, 300, 1_000),
    "ack_elements": (1, 4, 30),
    "replay_bytes": (300, 2_000, 8_000),
    "replay_elements": (3, 20, 60),
    "credit_bytes": (60, 400, 4_000),
    "credit_messages": (2, 12, 50),
    "max_message_bytes": (700, 2_500),
    "max_assembly_bytes": (2_500, 4_000),
    "max_latest_keys": (1, 3, 8),
    "max_queued_bytes": (2_500, 9_000),
    "max_rate": (20, 60),
    "stream_credit_messages": (1, 5),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One choice. What it means is in `world.World.do`; a step that makes no sense where it comes does nothing."""

    do: str
    client: int = 0
    role: Role = "client"
    size: int = 0
    """Bytes of a payload beyond the number that it begins with."""
    nth: int = 0
    """Which of those that there are, or how many."""
    ms: int = 0
    delivery: Delivery = "session"
    key: str = ""
    direction: Direction = "to_broker"
    noticed: Noticed = "both"
    is_right: bool = True
    """Whether a request, or the broker's process, ends in good order."""

    def to_json(self) -> dict[str, Any]:
        """Only what differs from the default."""
        return {"do": self.do} | {
            part.name: getattr(self, part.name)
            for part in fields(self)[1:]
            if getattr(self, part.name) != part.default
        }


@dataclass(frozen=True, slots=True)
class Quality:
    """How the channels behave, from the first on. Times in milliseconds."""

    delay: int = 1
    jitter: int = 0
    duplicate: float = 0.0
    """How probable it is that a frame arrives twice."""
    capacity: int = 64
    """So many frames under way fill a channel."""
    piece: int = 0
    """Channels are byte streams that arrive in pieces of about so many bytes; 0: frames arrive whole."""
    silence_is_fatal: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole simulation: the same plan gives the same run, in every process and at any time.

    Attributes:
        seed: of what is drawn while it runs: jitter, duplicates, ids, secrets, back-off.
        clients: how many.
        client_limits: what differs from `SMALL` at the clients.
        broker_limits: likewise at the broker.
        quality: of the channels.
        is_eager: events are consumed, items taken and requests answered as soon as they arrive.
        hostile: the client whose frames, and those for it, are tampered with; None: all are correct.
        plain_chance: the client whose ids, secrets and back-off are drawn as in the vectors: the nth draw is bytes of
            value n, and one half; None: none.
        steps: the choices.
    """

    seed: int
    clients: int = 1
    client_limits: Mapping[str, int] = field(default_factory=dict)
    broker_limits: Mapping[str, int] = field(default_factory=dict)
    quality: Quality = Quality()
    is_eager: bool = False
    hostile: int | None = None
    plain_chance: int | None = None
    steps: tuple[Step, ...] = ()

    def limits(self, role: Role) -> Limits:
        """The limits of one side."""
        return replace(SMALL, **(self.client_limits if role == "client" else self.broker_limits))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "seed": self.seed,
            "clients": self.clients,
            "client_limits": dict(self.client_limits),
            "broker_limits": dict(self.broker_limits),
            "quality": asdict(self.quality),
            "is_eager": self.is_eager,
            "hostile": self.hostile,
            "plain_chance": self.plain_chance,
            "steps": [step.to_json() for step in self.steps],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        quality = Quality(**data["quality"])
        steps = tuple(Step(**step) for step in data["steps"])
        return cls(**{**data, "quality": quality, "steps": steps})


Weights = Mapping[str, int]

_COMMON: Final[Weights] = {
    "run": 40, "event": 24, "publish": 4, "call": 14, "stream": 6, "answer": 14, "item": 16, "take": 12, "read": 6,
    "cancel": 4, "subscribe": 1, "cut": 5, "trip": 4, "stall": 2, "flow": 2, "quality": 2, "refuse": 1, "retry": 1,
    "wait": 1, "restart": 1, "expel": 1, "end": 1, "close": 0,
}  # fmt: skip
_THEMES: Final[tuple[Weights, ...]] = (
    {},
    {"event": 50, "publish": 12, "take": 14},
    {"call": 24, "answer": 30, "cancel": 10},
    {"stream": 14, "item": 40, "read": 20, "cancel": 6},
    {"cut": 16, "trip": 14, "refuse": 4, "restart": 4, "wait": 8},
    {"cut": 20, "trip": 40, "restart": 10, "end": 20, "retry": 10, "quality": 10, "run": 80},
    {"stall": 10, "flow": 6, "wait": 8, "end": 3, "close": 1},
)
_SIZED: Final = frozenset(("event", "publish", "call", "stream", "answer", "item"))
_TIMES: Final[dict[str, tuple[int, ...]]] = {
    "run": (0, 1, 5, 30, 60, 200, 500),
    "wait": (1_000, 3_000, 8_000),
    "quality": (0, 1, 40, 400),
    "cut": (0, 100, 3_000, NEVER_MS),
    "trip": (0, 100, 3_000, NEVER_MS),
}
_SIZES: Final = (0, 0, 0, 1, 1, 10, 10, 30, 30, 60, 120, 150, 190, 190, 230, 300, 700, 1_500, 3_000)


def draw(seed: int, steps: int | None = None) -> Plan:
    """The plan of a seed.

    Args:
        seed: any integer.
        steps: how many choices; else between 20 and 160.
    """
    rng = random.Random(seed)  # noqa: S311 - a seed is the point of it
    clients = rng.choice((1, 1, 1, 2, 2, 3, 5))
    hostile = rng.randrange(clients) if clients > 1 and rng.random() < 0.3 else None
    weights = {**_COMMON, **rng.choice(_THEMES)}
    names = rng.choices(list(weights), list(weights.values()), k=steps or rng.randint(20, 160))
    return Plan(
        seed=seed,
        clients=clients,
        client_limits=_draw_limits(rng),
        broker_limits=_draw_limits(rng),
        quality=_draw_quality(rng),
        is_eager=rng.random() < 0.3,
        hostile=hostile,
        steps=tuple(_draw_step(rng, name, clients) for name in names),
    )


def _draw_limits(rng: random.Random) -> dict[str, int]:
    return {name: rng.choice(_VARIED[name]) for name in rng.sample(sorted(_VARIED), rng.choice((0, 0, 2, 4)))}


def _draw_quality(rng: random.Random) -> Quality:
    return Quality(
        delay=rng.choice((0, 1, 20, 150)),
        jitter=rng.choice((0, 0, 5, 80)),
        duplicate=rng.choice((0.0, 0.0, 0.1, 0.5)),
        capacity=rng.choice((1, 4, 64)),
        piece=rng.choice((0, 0, 7, 100)),
        silence_is_fatal=rng.random() < 0.7,
    )


def _draw_step(rng: random.Random, do: str, clients: int) -> Step:
    """All fields are drawn whether `do` needs them or not: it is simpler, and nobody reads those it ignores."""
    delivery: Delivery = rng.choice(("session", "session", "latest", "latest", "volatile"))
    return Step(
        do,
        client=rng.randrange(clients),
        role=rng.choice(("client", "broker")),
        size=rng.choice(_SIZES) if do in _SIZED else 0,
        nth=rng.choice((0, 0, 1, 2, 5)),
        ms=rng.choice(_TIMES[do]) if do in _TIMES else 0,
        delivery=delivery if do in ("event", "publish") else "session",
        key=rng.choice("aabcde") if delivery == "latest" and do in ("event", "publish") else "",
        direction=rng.choice(("to_broker", "to_client")),
        noticed=rng.choice(("both", "both", "client", "broker")) if do in ("cut", "trip") else "both",
        is_right=rng.random() < 0.8,
    )
