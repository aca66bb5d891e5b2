"""What is measured. `WORKLOADS` has it all, by name; README.md says what a module here has to have."""

from benchmarks.workloads import bulk, bundle, costs, emitter, instrumentation, messages, sessions, window
from benchmarks.workloads.base import Workload

_ALL: tuple[Workload, ...] = (
    messages.CALL,
    messages.CALL_64,
    messages.CALL_1000,
    messages.EVENTS_IN,
    messages.EVENTS_OUT,
    messages.STREAM,
    messages.LATEST,
    messages.BYTES_IN,
    messages.BYTES_OUT,
    *sessions.FAN_OUT,
    sessions.FAN_OUT_ENCODINGS,
    sessions.CONNECT,
    sessions.START,
    sessions.RECONNECT,
    bulk.BULK_IN,
    bulk.BULK_OUT,
    bulk.CALLS_DURING_BULK_IN,
    bulk.CALLS_DURING_BULK_OUT,
    costs.IDLE_MEMORY,
    costs.IMPORT,
    *costs.GROWTH,
    emitter.EMITTER,
    emitter.EMITTER_GROWTH,
    *instrumentation.INSTRUMENTATION,
    bundle.BUNDLE,
    window.WINDOW_CALL,
    window.WINDOW_CALL_64,
)

WORKLOADS = {workload.name: workload for workload in _ALL}
"""By name."""
