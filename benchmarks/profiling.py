"""Shows where the time of a workload goes: `python -m benchmarks.profiling WORKLOAD`; `make profile` calls it.

Leaves a flame graph of the server's process, by py-spy, and a CPU profile of the client's, which Chromium's and VS Code's
developer tools open.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.driver import Driver
from benchmarks.loops import LOOPS
from benchmarks.systems import SYSTEMS
from benchmarks.turns import count_for
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.traffic import Traffic, content

FOLDER = Path("build/profile")


def main() -> int:
    traffic = {name: workload for name, workload in WORKLOADS.items() if isinstance(workload, Traffic)}
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profiling", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("workload", choices=traffic, metavar="WORKLOAD", help=", ".join(traffic))
    parser.add_argument("--system", choices=SYSTEMS, default="ionbus-websocket", metavar="NAME")
    parser.add_argument("--payload", help="default: the workload's 150 B, or its first")
    parser.add_argument("--seconds", type=int, default=8, help="default: 8")
    parser.add_argument("--loop", choices=LOOPS, default="uvloop")
    chosen = parser.parse_args()
    workload = traffic[chosen.workload]
    payload = chosen.payload or ("150B" if "150B" in workload.payloads else workload.payloads[0])
    for file in profile(workload, chosen.system, payload, chosen.seconds, chosen.loop):
        print(file)
    return 0


def profile(workload: Traffic, system: str, payload: str, seconds: int, loop: str) -> list[Path]:
    """Run the workload again and again for so long; give the two files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    stem = f"{workload.name}-{system}-{payload.replace(' ', '-')}"
    flames, client = FOLDER / f"{stem}.svg", FOLDER / f"{stem}.cpuprofile"
    node_options = ("--cpu-prof", f"--cpu-prof-dir={FOLDER.resolve()}", f"--cpu-prof-name={client.name}")
    told = {**workload.job, **content(payload)}
    with Driver(SYSTEMS[system], loop, node_options) as driver:
        count = workload.count or count_for(
            lambda count: driver.run(workload.run, count=count, **told), 0.5, workload.at_least
        )
        spy = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("py-spy")),
                *("record", "--rate", "500", "--output", str(flames)),
                *("--pid", str(driver.server_pid), "--duration", str(seconds)),
            ],
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            driver.run(workload.run, count=count, **told)
        if spy.wait() != 0:
            raise SystemExit(
                "py-spy could not look at the server's process; it may need more rights (docs/benchmarks.md)"
            )
    return [flames, client]


if __name__ == "__main__":
    sys.exit(main())
