"""Over a channel that is cut anywhere, everything arrives once and in order, in both directions."""

from __future__ import annotations

from typing import Literal

from hypothesis import given, settings, strategies as st

from ionbus.wire.messages import encode_call, encode_event, encode_item
from session.world import World

Side = Literal["client", "broker"]
sizes = st.sampled_from([0, 1, 30, 150, 250, 700])
steps = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(["client", "broker"]), sizes),
    st.tuples(st.just("item"), st.sampled_from(["client", "broker"]), sizes),
    st.tuples(st.just("pump"), st.just("client"), st.just(0)),
    st.tuples(st.just("pump"), st.just("broker"), st.just(0)),
    st.tuples(st.just("to_client"), st.just("client"), st.integers(1, 4)),
    st.tuples(st.just("to_broker"), st.just("broker"), st.integers(1, 4)),
    st.tuples(st.just("cut"), st.just("client"), st.just(0)),
    st.tuples(st.just("advance"), st.just("client"), st.sampled_from([1, 49, 200, 6000])),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=120), st.integers(0, 2**32))
def test_everything_arrives_once_and_in_order(script: list[tuple[str, Side, int]], seed: int) -> None:
    world = World(seed)
    world.settle()
    sent: dict[tuple[Side, str], list[bytes]] = {}
    for number, (step, side, argument) in enumerate(script):
        session = world.client.session if side == "client" else world.broker_session
        payload = number.to_bytes(4, "big") + bytes(argument)
        match step:
            case "event":
                session.emit(encode_event("a.event", payload), len(payload), "session")
                sent.setdefault((side, "event"), []).append(payload)
            case "item":
                session.send(encode_item(7, payload), lane=7)
                sent.setdefault((side, "item"), []).append(payload)
            case "pump":
                world.pump_client() if side == "client" else world.pump_broker()
            case "to_client":
                for _ in range(argument):
                    world.step_to_client()
            case "to_broker":
                for _ in range(argument):
                    world.step_to_broker()
            case "cut":
                world.cut()
            case "advance":
                world.advance(argument)
    world.settle()
    for side, arrived in (("client", world.at_broker), ("broker", world.at_client)):
        assert [m[2] for m in arrived if m[0] == 1] == sent.get((side, "event"), [])
        assert [m[2] for m in arrived if m[0] == 7] == sent.get((side, "item"), [])
    assert not world.replaced


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 60), st.integers(0, 2**32))
def test_a_cut_after_any_number_of_frames_of_the_greeting_and_after(frames: int, seed: int) -> None:
    world = World(seed)
    world.obey()
    payloads = [bytes([number]) * (number * 9) for number in range(40)]
    for number, payload in enumerate(payloads):
        world.client.session.send(encode_call(number + 1, "a.call", payload))
    for _ in range(frames):
        world.pump_client()
        world.pump_broker()
        world.step_to_broker() if world.random.random() < 0.5 else world.step_to_client()
    world.cut()
    world.settle()
    assert [message[3] for message in world.at_broker] == payloads


def test_a_lost_welcome_loses_no_session() -> None:
    world = World()
    world.settle()
    world.client.session.emit(encode_event("a.event", b"x"), 1, "session")
    for _ in range(5):  # each time the broker takes the HELLO and its WELCOME is lost
        world.cut()
        while not world.is_greeted:
            world.advance(100)
            world.pump_client()
            world.step_to_broker()
    world.settle()
    assert not world.replaced
    assert len(world.at_broker) == 1
    assert world.changes[-1].outcome == "resumed"


def test_a_restarted_broker_is_a_new_epoch_and_what_was_not_numbered_goes_on() -> None:
    world = World()
    world.settle()
    world.client.session.emit(encode_event("a.event", b"numbered"), 8, "session")
    world.pump_client()
    world.client.session.emit(encode_event("a.event", b"waits"), 5, "session")
    old = world.client.id
    world.restart_broker()
    world.settle()
    assert world.client.id != old
    [replaced] = world.replaced
    assert replaced.code == "new_epoch"
    assert replaced.lost_events == 1
    assert [entry.data for entry in replaced.unnumbered] == [encode_event("a.event", b"waits")]
    assert world.changes[-1].outcome == "lost"


def test_a_welcome_of_the_fresh_session_may_be_lost_too() -> None:
    world = World()
    world.settle()
    world.restart_broker()
    while not world.is_greeted:
        world.advance(100)
        world.pump_client()
        world.step_to_broker()
    opened = set(world.acceptor.sessions)
    world.cut()
    world.settle()
    assert set(world.acceptor.sessions) == opened
    assert world.client.id in opened
