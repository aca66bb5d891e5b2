"""Bytes in bulk, and what small calls cost meanwhile."""

from benchmarks.workloads.traffic import MEDIAN, P99, Metric, Traffic

SYSTEMS = (
    "ionbus-websocket",
    "ionbus-stdio",
    "raw-websocket",
    "raw-stdio",
    "socketio-json",
    "socketio-msgpack",
    "grpc-unary",
    "wslink",
)
MULTIPLEXED = tuple(system for system in SYSTEMS if not system.startswith("raw"))
"""Those that can do two things at once."""

SPEED = Metric("rate", "MB/s", lambda figures, count: count * figures["size"] / figures["seconds"] / 1e6)

BULK_IN = Traffic("bulk-in", "bulk", (SPEED,), ("1MB of bytes", "100MB"), {"way": "in"}, SYSTEMS, at_least=1)
BULK_OUT = Traffic(
    "bulk-out", "bulk", (SPEED,), ("1MB of bytes", "100MB"), {"way": "out"}, SYSTEMS, at_least=1
)

CALLS_DURING_BULK_IN = Traffic(
    "calls-during-bulk-in", "call-during-bulk", (MEDIAN, P99), ("100MB",), {"way": "in"}, MULTIPLEXED, count=1
)
CALLS_DURING_BULK_OUT = Traffic(
    "calls-during-bulk-out",
    "call-during-bulk",
    (MEDIAN, P99),
    ("100MB",),
    {"way": "out"},
    MULTIPLEXED,
    count=1,
)
"""Small calls over the same connection, one at a time, while 100 MB go by."""
