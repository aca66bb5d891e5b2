"""What a broker knows, as metrics and as facts about its health.

Most of it is kept anyway by those who need it, and is only looked at here, so that it costs nothing until somebody asks. Any thread may ask:
what is gone through is copied first, which no other thread interrupts.
"""

from __future__ import annotations

from collections import Counter
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from ionbus.observe.health import Answered, Consumer, Facts
from ionbus.observe.histogram import quantile
from ionbus.observe.metrics import Metrics

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session
    from ionbus.broker.serving import Serving
    from ionbus.observe.meter import FrameMeter, Meter

BEHIND: Final = 1.0
"""Seconds after which a session that is behind is a slow consumer."""


def broker_metrics(serving: Serving) -> Metrics:
    """All metrics of a broker that is served."""
    metrics = Metrics()
    sessions = serving.sessions
    _sessions(metrics, serving, sessions)
    for name, reasons in serving.dropped.items():
        for reason, count in reasons.items():
            metrics.add("ionbus_events_dropped_total", count, event=name, reason=reason)
    meter = serving.meter
    if meter is not None:
        _events(metrics, meter, serving, sessions)
        _requests(metrics, meter)
        _frames(metrics, "received", meter.received)
        _frames(metrics, "sent", meter.sent)
        waits, lag = meter.credit_waits, meter.lag
        metrics.spread("ionbus_credit_wait_seconds", waits.counts, waits.sum)
        metrics.spread("ionbus_loop_lag_seconds", lag.counts, lag.sum)
        metrics.add("ionbus_loop_blocked_seconds_total", meter.watch.blocked / 1e9)
    return metrics


def _sessions(metrics: Metrics, serving: Serving, sessions: list[Session]) -> None:
    counts, now = serving.counts, serving.loop.time()
    engines = [session.attended.session for session in sessions]
    connected = sum(session.is_connected for session in sessions)
    metrics.add("ionbus_requests_running", sum(len(session.answering) for session in sessions))
    metrics.add("ionbus_sessions", connected, state="connected")
    metrics.add("ionbus_sessions", len(sessions) - connected, state="absent")
    metrics.add("ionbus_sessions_opened_total", counts.opened)
    metrics.add("ionbus_sessions_resumed_total", counts.resumed)
    for code, count in dict(counts.ended).items():
        metrics.add("ionbus_sessions_ended_total", count, code=code)
    metrics.add("ionbus_queued_events", sum(engine.queued_events for engine in engines))
    metrics.add("ionbus_queued_bytes", sum(engine.queued_bytes for engine in engines))
    slow = sum(
        now - session.behind_since >= BEHIND for session in sessions if session.behind_since is not None
    )
    metrics.add("ionbus_slow_consumers", slow)
    metrics.add("ionbus_held_bytes", serving.held_bytes)
    sent, received = counts.sent, counts.received
    metrics.add("ionbus_elements_total", sent + sum(engine.sent for engine in engines), direction="sent")
    metrics.add(
        "ionbus_elements_total", received + sum(engine.received for engine in engines), direction="received"
    )


def _events(metrics: Metrics, meter: Meter, serving: Serving, sessions: list[Session]) -> None:
    on_their_way: Counter[str] = Counter()
    for session in sessions:
        if not session.attended.session.is_at_rest:
            on_their_way.update(session.attended.session.undelivered())
    dropped = {name: sum(reasons.values()) for name, reasons in serving.dropped.items()}
    for name, event in meter.events.copy().items():
        for source, count in event.published.items():
            if count:
                metrics.add("ionbus_events_published_total", count, event=name, source=source)
                size = event.published_bytes[source]
                metrics.add("ionbus_event_bytes_total", size, event=name, source=source)
        metrics.add("ionbus_events_queued_total", event.queued, event=name)
        delivered = event.queued + event.unqueued - dropped.get(name, 0) - on_their_way[name]
        metrics.add("ionbus_events_delivered_total", max(0, delivered), event=name)
        for code, count in event.refused.copy().items():
            metrics.add("ionbus_events_refused_total", count, event=name, code=code)
        metrics.add("ionbus_listener_failures_total", event.failures, event=name)
        metrics.spread("ionbus_event_wait_seconds", event.waited.counts, event.waited.sum, event=name)
        metrics.spread("ionbus_listener_seconds", event.took.counts, event.took.sum, event=name)


def _requests(metrics: Metrics, meter: Meter) -> None:
    for name, request in meter.requests.copy().items():
        labels = {"request": name, "kind": "stream" if request.is_stream else "call"}
        for outcome, count in request.outcomes.items():
            metrics.add("ionbus_requests_total", count, **labels, outcome=outcome)
        metrics.spread("ionbus_request_seconds", request.took.counts, request.took.sum, **labels)
        metrics.spread("ionbus_request_wait_seconds", request.waited.counts, request.waited.sum, **labels)
        metrics.add("ionbus_request_bytes_total", request.request_bytes, **labels)
        metrics.add("ionbus_response_bytes_total", request.response_bytes, **labels)
        if request.is_stream:
            metrics.add("ionbus_stream_items_total", request.items, request=name)
    for code, count in meter.refused.copy().items():
        metrics.add("ionbus_requests_refused_total", count, code=code)
    for name, asked in meter.asked.copy().items():
        for outcome, count in asked.outcomes.copy().items():
            metrics.add("ionbus_client_requests_total", count, request=name, outcome=outcome)
        metrics.spread("ionbus_client_request_seconds", asked.took.counts, asked.took.sum, request=name)


def _frames(metrics: Metrics, direction: str, frames: FrameMeter) -> None:
    metrics.add("ionbus_frames_total", frames.count, direction=direction)
    metrics.add("ionbus_frame_bytes_total", frames.bytes, direction=direction)
    elements = frames.elements
    metrics.spread("ionbus_frame_elements", elements.counts, elements.sum, direction=direction)


def broker_facts(serving: Serving) -> Facts:
    """What a broker's health is judged by."""
    now, meter = serving.loop.time(), serving.meter
    consumers = [
        Consumer(ended.session, 0, 0, now - ended.ended, ended.why) for ended in serving.counts.slow.copy()
    ]
    for session in serving.sessions:
        if session.behind_since is not None:
            engine = session.attended.session
            seconds = now - session.behind_since
            consumers.append(Consumer(session.named, engine.queued_events, engine.queued_bytes, seconds))
    held, most = serving.held_bytes, serving.limits.max_broker_bytes
    if meter is None:
        return Facts(now, held, most, consumers)
    failed = [
        (name, count)
        for name, event in meter.events.copy().items()
        if (count := event.failures - event.mark[0])
    ]
    blocks, current = meter.watch.blocks.copy(), meter.watch.current
    return Facts(now, held, most, consumers, _answered(meter, serving), failed, blocks, current)


def _answered(meter: Meter, serving: Serving) -> list[Answered]:
    now = perf_counter_ns()
    oldest: dict[str, tuple[int, bool]] = {}  # when it began, and whether it is a stream
    for session in serving.sessions:
        for answer in session.answering.copy():
            if answer.timing is not None:
                began = (answer.timing.began_ns, answer.is_stream)
                oldest[answer.name] = min(began, oldest.get(answer.name, began))
    requests = meter.requests.copy()
    answered: list[Answered] = []
    for name in sorted(requests.keys() | oldest.keys()):
        running = (now - oldest[name][0]) / 1e9 if name in oldest else 0.0
        request = requests.get(name)
        if request is None:
            answered.append(Answered(name, oldest[name][1], 0, running=running))
            continue
        outcomes, took = request.recent()
        count = sum(outcomes.values())
        failed, timed_out = outcomes.get("internal_error", 0), outcomes.get("call_timeout", 0)
        p99 = quantile(took, 0.99) / 1e9
        answered.append(
            Answered(name, request.is_stream, count, failed, timed_out, p99, request.incident, running)
        )
    return answered
