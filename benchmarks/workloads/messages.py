"""Calls, events and streams between one client and its server."""

from dataclasses import replace

from benchmarks.workloads.traffic import CPU, MEDIAN, P99, RATE, Traffic, figure

SIZES = ("20B", "150B", "5KB")

CALL = Traffic("call", "call", (MEDIAN, P99, *CPU), (*SIZES, "1MB"), job={"width": 1}, is_warmed=True)
CALL_64 = Traffic("call-64", "call", (RATE, *CPU), SIZES, job={"width": 64}, at_least=128, is_warmed=True)
CALL_1000 = replace(CALL_64, name="call-1000", payloads=("150B",), job={"width": 1000}, at_least=2000)
EVENTS_IN = Traffic("events-in", "events-in", (RATE, *CPU), SIZES, is_warmed=True)
EVENTS_OUT = Traffic("events-out", "events-out", (RATE, *CPU), SIZES, is_warmed=True)

STREAM = Traffic(
    "stream",
    "stream",
    (RATE, *CPU),
    is_warmed=True,
    systems=(
        "ionbus-websocket",
        "ionbus-stdio",
        "ionbus-websocket-fast",
        "ionbus-stdio-fast",
        "grpc-stream",
    ),
)
"""Items of a stream from the server, each awaited by its reader."""

LATEST = Traffic(
    "latest",
    "latest",
    (figure("age", "ms"), figure("behind", "ms"), figure("delivered", "share")),
    job={"busyMs": 0.1},
    systems=("ionbus-websocket", "ionbus-stdio", "raw-websocket", "socketio-json", "socketio-msgpack"),
    count=10_000,
)
"""Updates of ten values, faster than their listener takes them: how old they are when it has them, and how far it is behind at the end."""

BYTES_IN = Traffic(
    "bytes-in", "wire", (figure("bytes", "B"),), SIZES, {"way": "events-in"}, count=1_000, rounds=2
)
BYTES_OUT = replace(BYTES_IN, name="bytes-out", job={"way": "events-out"})
"""Bytes on the wire for each event, both directions together: acknowledgements count."""
