"""Many sessions, and a session's beginnings."""

from benchmarks.systems import SYSTEMS
from benchmarks.workloads.traffic import CPU, Metric, Traffic, figure

NETWORKED = tuple(name for name, system in SYSTEMS.items() if system.channel != "stdio")


def fan_out(sessions: int) -> Traffic:
    """Events to so many sessions of one client process; what is counted are deliveries."""
    return Traffic(
        f"fan-out-{sessions}",
        "fan-out",
        (Metric("rate", "1/s", lambda figures, count: count * sessions / figures["seconds"]), *CPU),
        job={"sessions": sessions},
        systems=(
            "ionbus-websocket",
            "ionbus-websocket-fast",
            "raw-websocket",
            "socketio-json",
            "socketio-msgpack",
            "wslink",
        ),
    )


FAN_OUT = tuple(map(fan_out, (1, 10, 100, 1000)))

FAN_OUT_ENCODINGS = Traffic(
    "fan-out-encodings",
    "encodings",
    (figure("encodings", "times"),),
    job={"sessions": 100},
    systems=("ionbus-websocket", "ionbus-websocket-fast"),
    count=10,
    rounds=1,
)
"""How often an event to 100 sessions is written out."""

CONNECT = Traffic("connect", "connect", (figure("median", "ms"),), systems=NETWORKED, at_least=1)
"""From a client's start to its first answer, with the server there."""

START = Traffic("start", "start", (figure("median", "ms"),), count=1)
"""From the start of the server's process to the first answer."""

RECONNECT = Traffic(
    "reconnect",
    "reconnect",
    (figure("median", "ms"),),
    systems=("ionbus-websocket", "socketio-json", "socketio-msgpack"),
    count=1,
)
"""From a cut to the answer of the call that was made at once, or as soon as the client would take it; with each client's own delays."""
