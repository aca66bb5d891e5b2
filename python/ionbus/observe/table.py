"""Every metric that there is: what it is called, what it counts, and when. docs/observability.md shows this table.

Names, units and kinds are those of Prometheus. Labels hold nothing that a client can choose: names come from the contracts that are served,
codes from the protocol and from the errors that contracts declare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["", "bytes", "seconds", "elements"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: as Prometheus shows it.
        kind: a counter only rises while the broker is served; a gauge is how things stand; a histogram counts values by their size.
        unit: of its values; nothing where they are counts.
        labels: what tells its values apart.
        when: what is counted, and when.
        is_always: known whether or not there is `Broker(metrics=True)`.
    """

    name: str
    kind: Kind
    unit: Unit
    labels: tuple[str, ...]
    when: str
    is_always: bool = False


_BROKER: Final = (
    Metric("ionbus_events_published_total", "counter", "", ("event", "source"), 'An event was published: `source="broker"` when it is emitted, `source="client"` when it has arrived and may be published.'),
    Metric("ionbus_event_bytes_total", "counter", "bytes", ("event", "source"), "The payload bytes of those."),
    Metric("ionbus_events_queued_total", "counter", "", ("event",), "An event was queued for one session that subscribed: one that ten sessions get counts ten times, a batch of them once."),
    Metric("ionbus_events_delivered_total", "counter", "", ("event",), "The client of one session has acknowledged an event. Those queued are delivered, dropped, or still on their way."),
    Metric("ionbus_events_dropped_total", "counter", "", ("event", "reason"), "An event will never arrive at one session; the reasons are in docs/delivery.md.", is_always=True),
    Metric("ionbus_events_refused_total", "counter", "", ("event", "code"), "A client's event was refused: it is not valid, say."),
    Metric("ionbus_event_wait_seconds", "histogram", "seconds", ("event",), "From the arrival of a client's events in one frame until the first of them is handed to its listeners."),
    Metric("ionbus_listener_seconds", "histogram", "seconds", ("event",), "How long one of the broker's listeners took, its waits included. Of events that arrive together every 32nd is measured."),
    Metric("ionbus_listener_failures_total", "counter", "", ("event",), "One of the broker's listeners raised an error."),
    Metric("ionbus_requests_total", "counter", "", ("request", "kind", "outcome"), "A call or stream of a client was answered: `outcome` is `ok`, or the code of its error."),
    Metric("ionbus_requests_refused_total", "counter", "", ("code",), "A call or stream was not begun: no such name, no right to it, too many under way."),
    Metric("ionbus_request_seconds", "histogram", "seconds", ("request", "kind"), "From the start of a request's handler, the validation of its payload included, until the answer is on its way. Of requests that one client has under way together every eighth is timed."),
    Metric("ionbus_request_wait_seconds", "histogram", "seconds", ("request", "kind"), "From a request's arrival until its handler starts, of the same requests."),
    Metric("ionbus_request_bytes_total", "counter", "bytes", ("request", "kind"), "Payload bytes of requests, counted when they are answered."),
    Metric("ionbus_response_bytes_total", "counter", "bytes", ("request", "kind"), "Payload bytes of results, or of a stream's items, counted when the request is over."),
    Metric("ionbus_stream_items_total", "counter", "", ("request",), "Items of a stream, counted when it is over."),
    Metric("ionbus_requests_running", "gauge", "", (), "Requests whose handlers have not ended.", is_always=True),
    Metric("ionbus_client_requests_total", "counter", "", ("request", "outcome"), "A client has answered a call of the broker's, or has not: `outcome` is `ok`, or the code of the error."),
    Metric("ionbus_client_request_seconds", "histogram", "seconds", ("request",), "From such a call until its answer."),
    Metric("ionbus_sessions", "gauge", "", ("state",), "Live sessions: `connected`, or `absent` and expected back.", is_always=True),
    Metric("ionbus_sessions_opened_total", "counter", "", (), "A client was greeted in a new session.", is_always=True),
    Metric("ionbus_sessions_resumed_total", "counter", "", (), "A client has come back to its session on a new channel.", is_always=True),
    Metric("ionbus_sessions_ended_total", "counter", "", ("code",), "A session is over for good.", is_always=True),
    Metric("ionbus_queued_events", "gauge", "", (), "Events that wait in the queues of all sessions.", is_always=True),
    Metric("ionbus_queued_bytes", "gauge", "bytes", (), "The payload bytes of those.", is_always=True),
    Metric("ionbus_slow_consumers", "gauge", "", (), "Sessions that have had more events waiting than they granted credit for, for a second or longer.", is_always=True),
    Metric("ionbus_held_bytes", "gauge", "bytes", (), "What is kept for all clients: what `Limits.max_broker_bytes` bounds.", is_always=True),
    Metric("ionbus_elements_total", "counter", "", ("direction",), "Numbered elements: `sent` to clients, or `received` from them.", is_always=True),
    Metric("ionbus_frames_total", "counter", "", ("direction",), "Frames on all channels, greetings left out."),
    Metric("ionbus_frame_bytes_total", "counter", "bytes", ("direction",), "The bytes of those."),
    Metric("ionbus_frame_elements", "histogram", "elements", ("direction",), "How many elements a frame has that brings any: the size of a batch."),
    Metric("ionbus_credit_wait_seconds", "histogram", "seconds", (), "How long something emitted waited for a client's credit, each time that it had to."),
    Metric("ionbus_loop_lag_seconds", "histogram", "seconds", (), "How late the event loop comes to a timer, asked 20 times a second."),
    Metric("ionbus_loop_blocked_seconds_total", "counter", "seconds", (), "How long the event loop was held up, each time that it was for 0.1 s or longer."),
)  # fmt: skip

_BUS: Final = (
    Metric("ionbus_bus_connected", "gauge", "", (), "1 while the bus is open, else 0.", is_always=True),
    Metric("ionbus_bus_reconnects_total", "counter", "", (), "The bus was open again after its connection had been lost.", is_always=True),
    Metric("ionbus_bus_resumes_total", "counter", "", (), "Of these, those that went on with the same session.", is_always=True),
    Metric("ionbus_bus_events_dropped_total", "counter", "", ("event", "reason"), "An event of this client will never reach the broker.", is_always=True),
    Metric("ionbus_bus_queued_events", "gauge", "", (), "This client's events that wait for credit, or for a connection.", is_always=True),
    Metric("ionbus_bus_queued_bytes", "gauge", "bytes", (), "The payload bytes of those.", is_always=True),
    Metric("ionbus_bus_requests_pending", "gauge", "", (), "Calls and streams that the broker has not answered yet.", is_always=True),
    Metric("ionbus_bus_elements_total", "counter", "", ("direction",), "Numbered elements of this session: `sent` to the broker, or `received` from it. A new session begins at 0.", is_always=True),
    Metric("ionbus_bus_unacknowledged_elements", "gauge", "", (), "Elements that were sent and not acknowledged.", is_always=True),
)  # fmt: skip

METRICS: Final = {metric.name: metric for metric in (*_BROKER, *_BUS)}
"""By name, in the order of the documentation: the broker's, then the bus's."""
