"""The middleware that ships, each around something that does as it is told; the clock is moved by hand."""

from __future__ import annotations

import asyncio
import logging as std
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from inspect import getclosurevars
from typing import Any

import pytest
from pydantic import BaseModel

from ionbus import (
    Call,
    CallTimeout,
    Contract,
    ContractError,
    Event,
    InvalidPayload,
    NotAllowed,
    SessionLost,
    Stream,
)
from ionbus.middleware import (
    AnyMiddleware,
    CircuitOpen,
    Dropped,
    Message,
    MessageContext,
    RateLimited,
    cache,
    circuit_breaker,
    deduplicate,
    drop,
    logging,
    rate_limit,
    retry,
    timeout,
    validation,
)
from ionbus.middleware.failures import is_transient
from ionbus.middleware.onion import pass_through
from ionbus.testing import FakeClock


class Order(BaseModel):
    id: str
    parts: list[str] = []


class Broken(ContractError):
    """It is broken."""

    code = "broken"


class Shop(Contract, name="shop"):
    order = Call(Order, Order, raises=[Broken])
    look = Call(Order, Order, idempotent=True, raises=[Broken])
    watch = Stream(Order, str, idempotent=True)
    sold = Event(Order, source="any")


MEMBERS = {"call": Shop.order, "look": Shop.look, "stream": Shop.watch, "event": Shop.sold}
Step = Callable[[], Awaitable[Any]] | BaseException | object


def message(kind: str, order: str = "a", **context: Any) -> Message[Order]:
    member: Any = MEMBERS[kind]
    told = MessageContext(**context)
    return Message(member.kind, "inbound", member.name, member, Order(id=order), told)


class Inside:
    """What stands innermost: does each step once, the last one again and again, and keeps what it was given."""

    def __init__(self, *steps: Any) -> None:
        self._steps = list(steps)
        self.got: list[Message[Any]] = []

    async def __call__(self, given: Message[Any]) -> Any:
        self.got.append(given)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, BaseException):
            raise step
        if callable(step):
            step = step()
            return await step if isinstance(step, Awaitable) else step
        return step


async def forever() -> Any:
    await asyncio.get_running_loop().create_future()


async def numbers(*waits: float) -> AsyncIterator[str]:
    for count, wait in enumerate(waits):
        await asyncio.sleep(wait)
        yield str(count)


@pytest.fixture
async def clock() -> AsyncIterator[FakeClock]:
    with FakeClock() as clock:
        yield clock


def start(middleware: AnyMiddleware, given: Message[Any], inside: Inside) -> asyncio.Task[Any]:
    return asyncio.ensure_future(pass_through([middleware], given, inside))


async def outcome(middleware: AnyMiddleware, given: Message[Any], inside: Inside) -> object:
    """What comes out: the result, the reason of a drop, or the error's class."""
    try:
        result = await pass_through([middleware], given, inside)
    except Exception as error:  # noqa: BLE001 - it is what comes out
        return type(error)
    return result.reason if isinstance(result, Dropped) else result


# timeout


async def test_timeout_gives_up_what_takes_longer(clock: FakeClock) -> None:
    inside = Inside(forever)
    call = start(timeout(2.0), message("call"), inside)
    await clock.advance(1.9)
    assert not call.done()
    await clock.advance(0.2)
    with pytest.raises(CallTimeout, match=r"^shop.order: not answered within 2 s$"):
        await call


@pytest.mark.parametrize(("given", "told"), [(None, 2.0), (5.0, 2.0), (1.0, 1.0)])
async def test_timeout_makes_a_deadline_earlier_never_later(
    clock: FakeClock, given: float | None, told: float
) -> None:
    now = asyncio.get_running_loop().time()
    inside = Inside("end")
    deadline = None if given is None else now + given
    await pass_through([timeout(2.0)], message("call", deadline=deadline), inside)
    assert inside.got[0].context.deadline == pytest.approx(now + told)


async def test_timeout_of_a_stream_is_each_items(clock: FakeClock) -> None:
    inside = Inside(lambda: numbers(1.5, 1.5, 3.0))
    items = await pass_through([timeout(2.0)], message("stream"), inside)
    reading = asyncio.ensure_future(anext(items))
    await clock.advance(1.6)
    assert await reading == "0"
    reading = asyncio.ensure_future(anext(items))
    await clock.advance(1.6)
    assert await reading == "1"
    reading = asyncio.ensure_future(anext(items))
    await clock.advance(2.1)
    with pytest.raises(CallTimeout, match=r"^shop.watch: no item came within 2 s$"):
        await reading


async def test_timeout_leaves_a_time_out_further_in_as_it_is() -> None:
    error = TimeoutError("a database's")
    with pytest.raises(TimeoutError) as raised:
        await pass_through([timeout(2.0)], message("call"), Inside(error))
    assert raised.value is error


# retry


async def test_retry_tries_again_after_longer_and_longer_pauses(clock: FakeClock) -> None:
    inside = Inside(SessionLost("gone"), OSError("down"), "end")
    call = start(retry(attempts=3, first=1.0, longest=10.0), message("look"), inside)
    await clock.advance(0.9)
    assert len(inside.got) == 1
    await clock.advance(1.2)  # the pause is 1 s, and up to 1 s of jitter
    assert len(inside.got) == 2
    await clock.advance(3.1)
    assert await call == "end"
    assert len(inside.got) == 3


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("call", SessionLost("gone")),
        ("event", SessionLost("gone")),
        ("look", Broken()),
        ("look", NotAllowed("no")),
        ("look", InvalidPayload("no")),
        ("look", asyncio.CancelledError()),
    ],
)
async def test_retry_lets_pass_what_would_not_help_or_might_be_done_twice(
    kind: str, error: BaseException
) -> None:
    inside = Inside(error)
    with pytest.raises(type(error)) as raised:
        await pass_through([retry()], message(kind), inside)
    assert raised.value is error
    assert len(inside.got) == 1


async def test_retry_raises_the_last_error_when_it_is_enough(clock: FakeClock) -> None:
    last = SessionLost("last")
    call = start(retry(attempts=2, first=0.0), message("look"), Inside(SessionLost("first"), last))
    await clock.advance(1.0)
    with pytest.raises(SessionLost) as raised:
        await call
    assert raised.value is last


async def test_retry_begins_nothing_that_the_deadline_would_end(clock: FakeClock) -> None:
    inside = Inside(SessionLost("gone"))
    deadline = asyncio.get_running_loop().time() + 0.5
    with pytest.raises(SessionLost):
        await pass_through([retry(first=1.0)], message("look", deadline=deadline), inside)
    assert len(inside.got) == 1


async def test_retry_waits_as_long_as_it_is_told(clock: FakeClock) -> None:
    inside = Inside(RateLimited("slowly", retry_after=60.0), "end")
    call = start(retry(first=0.1), message("look"), inside)
    await clock.advance(59.0)
    assert len(inside.got) == 1
    await clock.advance(1.1)
    assert await call == "end"


async def test_retry_opens_a_stream_again(clock: FakeClock) -> None:
    inside = Inside(SessionLost("gone"), lambda: numbers(0.0))
    opening = start(retry(first=0.1), message("stream"), inside)
    await clock.advance(1.0)
    items = await opening
    reading = asyncio.ensure_future(anext(items))
    await clock.advance(0.1)
    assert await reading == "0"
    await items.aclose()


# rate_limit


async def test_rate_limit_lets_a_burst_pass_and_then_so_many_a_second(clock: FakeClock) -> None:
    limited, inside = rate_limit(2.0, 3, per="all"), Inside("end")
    assert [await outcome(limited, message("call"), inside) for _ in range(4)] == ["end"] * 3 + [RateLimited]
    await clock.advance(0.5)
    assert [await outcome(limited, message("call"), inside) for _ in range(2)] == ["end", RateLimited]
    await clock.advance(100.0)
    assert [await outcome(limited, message("call"), inside) for _ in range(4)] == ["end"] * 3 + [RateLimited]


async def test_rate_limit_says_when_the_next_would_pass(clock: FakeClock) -> None:
    limited = rate_limit(0.5, per="all")
    await pass_through([limited], message("call"), Inside("end"))
    with pytest.raises(
        RateLimited, match=r"^shop.order: more than 0.5 a second; the next would pass in 2 s$"
    ) as told:
        await pass_through([limited], message("call"), Inside("end"))
    assert told.value.code == "rate_limited"
    assert told.value.retry_after == pytest.approx(2.0)
    assert told.value.details() == {"retry_after": told.value.retry_after}


async def test_rate_limit_drops_events_by_its_reason(clock: FakeClock) -> None:
    limited = rate_limit(1.0)
    found = [await outcome(limited, message("event"), Inside(None)) for _ in range(2)]
    assert found == [None, "rate_limited"]


async def test_rate_limit_counts_each_principal_for_itself(clock: FakeClock) -> None:
    limited = rate_limit(1.0, per="principal")
    found = [
        await outcome(limited, message("call", principal=who), Inside("end")) for who in ("ada", "bob", "ada")
    ]
    assert found == ["end", "end", RateLimited]
    by_id = rate_limit(1.0, per=lambda given: given.payload.id)
    found = [await outcome(by_id, message("call", which), Inside("end")) for which in ("a", "b", "a")]
    assert found == ["end", "end", RateLimited]


async def test_rate_limit_may_delay_instead_but_not_beyond_the_deadline(clock: FakeClock) -> None:
    limited, inside = rate_limit(1.0, per="all", excess="wait"), Inside("end")
    calls = [start(limited, message("call"), inside) for _ in range(3)]
    await clock.advance(0.1)
    assert len(inside.got) == 1
    await clock.advance(1.0)
    assert len(inside.got) == 2
    deadline = asyncio.get_running_loop().time() + 1.0
    assert await outcome(limited, message("call", deadline=deadline), inside) is RateLimited
    await clock.advance(1.0)
    assert await asyncio.gather(*calls) == ["end"] * 3


# the circuit breaker


async def test_circuit_breaker_opens_after_failures_on_end_and_tries_one_later(clock: FakeClock) -> None:
    guarded = circuit_breaker(2, reset=10.0)
    inside = Inside(OSError("down"), "end", OSError("down"), OSError("down"), OSError("down"), "end")
    found = [await outcome(guarded, message("call"), inside) for _ in range(5)]
    assert found == [OSError, "end", OSError, OSError, CircuitOpen]
    assert await outcome(guarded, message("event"), inside) is OSError  # another member has its own
    await clock.advance(9.0)
    assert await outcome(guarded, message("call"), inside) is CircuitOpen
    await clock.advance(1.1)
    assert [await outcome(guarded, message("call"), inside) for _ in range(3)] == ["end"] * 3


async def test_circuit_breaker_opens_anew_where_the_trial_fails_and_passes_one_at_a_time(
    clock: FakeClock,
) -> None:
    guarded = circuit_breaker(1, reset=10.0)
    assert await outcome(guarded, message("call"), Inside(OSError("down"))) is OSError
    await clock.advance(10.1)
    trial = start(guarded, message("call"), Inside(forever))
    await clock.advance(0.1)
    with pytest.raises(
        CircuitOpen, match=r"^shop.order: it has failed too often, and is not tried for 10 s$"
    ):
        await pass_through([guarded], message("call"), Inside("end"))
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    assert await outcome(guarded, message("call"), Inside(OSError("down"))) is OSError
    assert await outcome(guarded, message("call"), Inside("end")) is CircuitOpen


async def test_circuit_breaker_takes_a_declared_error_for_an_answer(clock: FakeClock) -> None:
    guarded = circuit_breaker(1)
    assert [await outcome(guarded, message("call"), Inside(Broken())) for _ in range(3)] == [Broken] * 3


async def test_circuit_breaker_drops_events_and_counts_streams_that_break(clock: FakeClock) -> None:
    guarded = circuit_breaker(1)

    async def breaks() -> AsyncIterator[str]:
        yield "0"
        raise OSError("down")

    items = await pass_through([guarded], message("stream"), Inside(breaks))
    assert await anext(items) == "0"
    with pytest.raises(OSError, match="down"):
        await anext(items)
    assert await outcome(guarded, message("stream"), Inside(breaks)) is CircuitOpen
    assert await outcome(guarded, message("event"), Inside(OSError("down"))) is OSError
    assert await outcome(guarded, message("event"), Inside(None)) == "circuit_open"


async def test_circuit_breaker_opens_after_streams_that_fail_at_their_first_item(clock: FakeClock) -> None:
    guarded = circuit_breaker(2, reset=10.0)

    async def breaks() -> AsyncIterator[str]:
        for item in list[str]():
            yield item
        raise OSError("down")

    async def read(inside: Any) -> list[Any]:
        return [item async for item in await pass_through([guarded], message("stream"), Inside(inside))]

    async def gives() -> AsyncIterator[str]:
        yield "0"
        yield "1"

    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            await read(breaks)
    with pytest.raises(CircuitOpen):
        await read(gives)
    await clock.advance(10.1)
    trial = await pass_through([guarded], message("stream"), Inside(gives))
    with pytest.raises(CircuitOpen):
        await read(gives)  # how the trial goes is not known yet
    assert await anext(trial) == "0"
    assert await read(gives) == ["0", "1"]
    await trial.aclose()
    with pytest.raises(OSError, match="down"):
        await read(breaks)
    assert await read(gives) == ["0", "1"]  # one failure of two


# deduplicate


async def test_deduplicate_drops_an_event_that_comes_again_within_the_window(clock: FakeClock) -> None:
    once = deduplicate(lambda order: order.id, window=10.0)
    found = [await outcome(once, message("event", which), Inside(None)) for which in ("a", "b", "a")]
    assert found == [None, None, "duplicate"]
    await clock.advance(10.1)
    assert await outcome(once, message("event", "a"), Inside(None)) is None


async def test_deduplicate_gives_a_call_the_answer_of_the_first(clock: FakeClock) -> None:
    once, gate = deduplicate(lambda order: order.id), asyncio.Event()

    async def slowly() -> Order:
        await gate.wait()
        return Order(id="answer")

    inside = Inside(slowly)
    calls = [start(once, message("call"), inside) for _ in range(3)]
    await clock.advance(0.1)
    gate.set()
    assert [each.id for each in await asyncio.gather(*calls)] == ["answer"] * 3
    assert (await pass_through([once], message("call"), inside)).id == "answer"
    assert len(inside.got) == 1
    await pass_through([once], message("call", principal="bob"), inside)
    assert len(inside.got) == 2  # what another principal sends is another call


async def test_deduplicate_runs_anew_what_failed_was_cancelled_or_dropped(clock: FakeClock) -> None:
    once = deduplicate(lambda order: order.id)
    inside = Inside(forever, OSError("down"), "end")
    first = start(once, message("call"), inside)
    await clock.advance(0.1)
    second, third = (start(once, message("call"), inside) for _ in range(2))
    await clock.advance(0.1)
    first.cancel()
    found = await asyncio.gather(first, second, third, return_exceptions=True)
    assert [type(each) for each in found] == [asyncio.CancelledError, OSError, str]
    dropped = Inside(drop("early"), None)
    assert [await outcome(once, message("event"), dropped) for _ in range(3)] == ["early", None, "duplicate"]


# cache


async def test_cache_answers_again_for_a_while_with_an_answer_of_its_own(clock: FakeClock) -> None:
    cached, inside = cache(10.0), Inside(lambda: Order(id="answer"))
    first = await pass_through([cached], message("look"), inside)
    first.parts.append("changed")
    second = await pass_through([cached], message("look"), inside)
    assert second == Order(id="answer")
    assert len(inside.got) == 1
    await pass_through([cached], message("look", "b"), inside)
    await pass_through([cached], message("look", principal="bob"), inside)
    assert len(inside.got) == 3
    await clock.advance(10.1)
    await pass_through([cached], message("look"), inside)
    assert len(inside.got) == 4


async def test_cache_keeps_no_errors_no_more_than_its_limit_and_nothing_that_is_not_idempotent() -> None:
    cached = cache(10.0, limit=1)
    inside = Inside(Broken(), Order(id="x"))
    assert await outcome(cached, message("look"), inside) is Broken
    for order in ("a", "b", "a"):
        await pass_through([cached], message("look", order), inside)
    assert len(inside.got) == 4
    for kind in ("call", "call"):
        await pass_through([cached], message(kind), inside)
    assert len(inside.got) == 6


async def test_cache_keeps_no_requests_however_large(clock: FakeClock) -> None:
    cached = cache(10.0)
    for which in "aba":
        inside = Inside(Order(id=which))
        answer = await pass_through([cached], message("look", which * 1_000_000), inside)
        assert answer.id == which
    answers = getclosurevars(cached).nonlocals["answers"]
    assert len(answers) == 2
    assert all(len(repr(key)) < 1_000 for key in answers._values)


# validation


def complaints(order: Order) -> Iterator[tuple[str, str]]:
    if len(set(order.parts)) < len(order.parts):
        yield "parts", "one is there twice"


async def test_validation_refuses_warns_or_does_not_ask(caplog: pytest.LogCaptureFixture) -> None:
    given = message("call").replace(payload=Order(id="a", parts=["x", "x"]))
    with pytest.raises(InvalidPayload, match=r"^shop.order: parts: one is there twice$") as refused:
        await pass_through([validation(complaints)], given, Inside("end"))
    assert refused.value.paths == [("parts", "one is there twice")]
    assert await pass_through([validation(complaints)], message("call"), Inside("end")) == "end"
    assert await pass_through([validation(complaints, level="off")], given, Inside("end")) == "end"
    assert caplog.messages == []
    assert await pass_through([validation(complaints, level="warn")], given, Inside("end")) == "end"
    assert caplog.messages == ["inbound call shop.order: parts: one is there twice"]


# logging


async def test_logging_writes_a_record_when_each_is_over(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(std.INFO)

    async def later() -> str:
        await asyncio.sleep(1.5)
        return "end"

    call = start(logging(), message("call", request_id=7, trace="00-x"), Inside(later))
    await clock.advance(1.6)
    await call
    await outcome(logging(), message("event"), Inside(None))
    await outcome(logging(), message("event"), Inside(drop("early")))
    await outcome(logging(), message("call"), Inside(Broken()))
    items = await pass_through([logging()], message("stream"), Inside(lambda: numbers(0.0, 0.0)))
    reading = asyncio.ensure_future(anext(items))
    await clock.advance(0.1)
    await reading
    await items.aclose()
    told = [
        (record.levelname, record.ionbus_name, record.ionbus_outcome, record.ionbus_items)  # type: ignore[attr-defined] # extras
        for record in caplog.records
    ]
    assert told == [
        ("INFO", "shop.order", "answered", None),
        ("INFO", "shop.sold", "passed", None),
        ("INFO", "shop.sold", "dropped", None),
        ("WARNING", "shop.order", "broken", None),
        ("INFO", "shop.watch", "closed", 1),
    ]
    first: Any = caplog.records[0]
    assert (first.ionbus_kind, first.ionbus_direction) == ("call", "inbound")
    assert (first.ionbus_request, first.ionbus_trace, first.ionbus_session) == (7, "00-x", None)
    assert first.ionbus_seconds == pytest.approx(1.5)
    assert caplog.messages[0] == "inbound call shop.order: answered in 1500.0 ms"
    assert "It is broken" in caplog.messages[3]
    assert not hasattr(first, "ionbus_payload")


async def test_logging_shows_payloads_where_it_is_asked_to_and_one_line_of_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(std.INFO, "shop")
    await pass_through([logging("shop", payloads=True)], message("call", "a\n" * 500), Inside("end"))
    record: Any = caplog.records[0]
    assert record.name == "shop"
    assert "\n" not in record.ionbus_payload
    assert len(record.ionbus_payload) <= 201


# What cannot be.


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: timeout(0),
        lambda: timeout(float("nan")),
        lambda: retry(0),
        lambda: retry(first=2.0, longest=1.0),
        lambda: rate_limit(0),
        lambda: rate_limit(1.0, 0),
        lambda: rate_limit(1.0, per="window"),  # type: ignore[arg-type] # that is the point
        lambda: rate_limit(1.0, excess="queue"),  # type: ignore[arg-type]
        lambda: circuit_breaker(0),
        lambda: circuit_breaker(reset=0),
        lambda: deduplicate(str, window=0),
        lambda: cache(0),
        lambda: validation(lambda _: None, level="loud"),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_made(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        wrong()


def test_what_may_pass_is_what_no_rule_foresees() -> None:
    assert is_transient(SessionLost(""))
    assert is_transient(OSError())
    assert not is_transient(NotAllowed(""))
    assert not is_transient(asyncio.CancelledError())
