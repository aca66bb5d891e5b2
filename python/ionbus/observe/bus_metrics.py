"""What a client knows, as metrics: nothing is counted for it that would not be kept anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ionbus.generated.states import ConnectionState
from ionbus.observe.metrics import Metrics

if TYPE_CHECKING:
    from ionbus.client.client_session import ClientSession


def bus_metrics(session: ClientSession) -> Metrics:
    """All metrics of a bus."""
    metrics, engine = Metrics(), session.link.connection.session
    metrics.add("ionbus_bus_connected", int(session.link.state == ConnectionState.OPEN))
    metrics.add("ionbus_bus_reconnects_total", session.reconnects)
    metrics.add("ionbus_bus_resumes_total", session.resumes)
    for name, reasons in session.dropped.items():
        for reason, count in reasons.items():
            metrics.add("ionbus_bus_events_dropped_total", count, event=name, reason=reason)
    metrics.add("ionbus_bus_queued_events", engine.queued_events)
    metrics.add("ionbus_bus_queued_bytes", engine.queued_bytes)
    metrics.add("ionbus_bus_requests_pending", session.peer.requests.pending)
    metrics.add("ionbus_bus_elements_total", engine.sent, direction="sent")
    metrics.add("ionbus_bus_elements_total", engine.received, direction="received")
    metrics.add("ionbus_bus_unacknowledged_elements", engine.sent - engine.acked)
    return metrics
