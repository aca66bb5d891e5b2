"""What is measured. `WORKLOADS` has it all, by name; README.md says what a module here has to have."""

from benchmarks.workloads.base import Workload
from benchmarks.workloads.messages import CALL, CALL_64, CALL_1000, EVENTS_IN, EVENTS_OUT
from benchmarks.workloads.window import WINDOW_CALL, WINDOW_CALL_64

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (CALL, CALL_64, CALL_1000, EVENTS_IN, EVENTS_OUT, WINDOW_CALL, WINDOW_CALL_64)
}
"""By name."""
