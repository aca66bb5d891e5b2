# mypy: ignore-errors
"""Right and wrong uses of contracts. Each line that a type checker must flag ends in `# error`; no other may be."""

from datetime import datetime
from typing import Annotated, Literal, TypeVar, assert_type

from pydantic import BaseModel, Field

from ionbus.contract.contract import Call, Contract, ContractError, Event, Received, Stream
from ionbus.contract.payload import Payload

P = TypeVar("P")
Q = TypeVar("Q")
A = TypeVar("A")


class Progress(BaseModel):
    percent: float


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class FlowInvalid(ContractError):
    code = "flow_invalid"
    node_ids: list[str]
    limit: int = 10


class Conductor(Contract, name="conductor", version="1.0"):
    progress = Event(Progress, delivery="latest", key="percent")
    cancelled = Event(str, source="client")
    noted = Event(list[int], source="any")
    nothing = Event(None)
    pet = Event(Annotated[Cat | Dog, Field(discriminator="kind")])
    maybe = Event(int | None)
    level = Event(Literal["low", "high"])
    execute = Call(Progress, int, raises=[FlowInvalid])
    ping = Call(None, None)
    pick = Call(datetime, bytes, served_by="client")
    logs = Stream(int | None, Progress)
    upload = Stream(str, bytes, served_by="client")
    reset = Call(None, None, roles={"admin"})
    audit = Stream(None, str, roles=frozenset({"admin", "auditor"}))
    alarm = Event(str, source="any", roles={"admin"})

    class nodes(Contract):  # noqa: N801
        registered = Event(dict[str, int])


class Wrong(Contract, name="wrong"):
    a = Event(3)  # error
    b = Event(int, source="broker?")  # error
    c = Event(int, delivery="durable")  # error
    d = Call(int)  # error
    e = Call(int, int, raises=[ValueError])  # error
    f = Stream(int, int, served_by="any")  # error
    g = Call(int, int, roles="admin")  # error
    h = Call(int, int, served_by="client", roles={"admin"})  # error


def types_are_inferred() -> None:
    assert_type(Conductor.progress, Event[Progress, Literal["broker"]])
    assert_type(Conductor.cancelled, Event[str, Literal["client"]])
    assert_type(Conductor.noted, Event[list[int], Literal["any"]])
    assert_type(Conductor.nothing, Event[None, Literal["broker"]])
    assert_type(Conductor.pet, Event[Cat | Dog, Literal["broker"]])
    assert_type(Conductor.maybe, Event[int | None, Literal["broker"]])
    assert_type(Conductor.level, Event[Literal["low", "high"], Literal["broker"]])
    assert_type(Conductor.execute, Call[Progress, int, Literal["broker"]])
    assert_type(Conductor.ping, Call[None, None, Literal["broker"]])
    assert_type(Conductor.reset, Call[None, None, Literal["broker"]])
    assert_type(Conductor.audit, Stream[None, str, Literal["broker"]])
    assert_type(Conductor.alarm, Event[str, Literal["any"]])
    assert_type(Conductor.pick, Call[datetime, bytes, Literal["client"]])
    assert_type(Conductor.logs, Stream[int | None, Progress, Literal["broker"]])
    assert_type(Conductor.upload, Stream[str, bytes, Literal["client"]])
    assert_type(Conductor.nodes.registered, Event[dict[str, int], Literal["broker"]])
    assert_type(Conductor.execute.request, Payload[Progress])
    assert_type(Conductor.execute.response, Payload[int])
    assert_type(Conductor.logs.item, Payload[Progress])
    assert_type(Conductor.execute.response.decode(b""), int)
    assert_type(Conductor.cancelled.source, Literal["client"])


def publish_as_broker(event: Event[P, Literal["broker", "any"]], payload: P) -> None: ...


def publish_as_client(event: Event[P, Literal["client", "any"]], payload: P) -> None: ...


def call_the_broker(member: Call[Q, A, Literal["broker"]], request: Q) -> A:
    return member.response.decode(bytes(member.request.encode(request)))


def listen(event: Event[P], payload: P) -> None: ...


def sides_are_told_apart(progress: Progress) -> None:
    publish_as_broker(Conductor.progress, progress)
    publish_as_broker(Conductor.noted, [1])
    publish_as_client(Conductor.noted, [1])
    publish_as_client(Conductor.cancelled, "x")
    listen(Conductor.cancelled, "x")
    listen(Conductor.progress, progress)
    assert_type(call_the_broker(Conductor.execute, progress), int)
    publish_as_broker(Conductor.cancelled, "x")  # error
    publish_as_client(Conductor.progress, progress)  # error
    call_the_broker(Conductor.pick, datetime.now())  # error # noqa: DTZ005


def payloads_are_checked(progress: Progress) -> None:
    publish_as_broker(Conductor.pet, Cat())
    publish_as_broker(Conductor.level, "low")
    publish_as_broker(Conductor.maybe, None)
    publish_as_broker(Conductor.nodes.registered, {"a": 1})
    publish_as_broker(Conductor.progress, "half")  # error
    publish_as_broker(Conductor.level, "middle")  # error
    publish_as_broker(Conductor.nodes.registered, {"a": "b"})  # error
    call_the_broker(Conductor.execute, 3)  # error
    call_the_broker(Conductor.ping, progress)  # error


def descriptors_are_invariant(event: Event[int]) -> None:
    same: Event[int] = event
    wider: Event[int | None] = event  # error
    narrower: Event[bool] = event  # error
    print(same, wider, narrower)


def received_is_narrowed(received: Received[object]) -> None:
    if Conductor.progress.matches(received):
        assert_type(received.payload, Progress)
        print(received.payload.percent)
    print(received.payload.percent)  # error


def errors_take_their_fields() -> None:
    error = FlowInvalid(node_ids=["a"])
    assert_type(error.node_ids, list[str])
    assert_type(error.limit, int)
    assert_type(error.message, str)
    FlowInvalid(node_ids=["a"], limit=3, message="m")
    FlowInvalid()  # error
    FlowInvalid(node_ids=3)  # error
    FlowInvalid(node_ids=[], nodes=[])  # error
    FlowInvalid(["a"])  # error
