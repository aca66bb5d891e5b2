"""Keeps what each release has measured: a line of JSON each, in results/history.jsonl."""

import json
from pathlib import Path
from typing import Any

from benchmarks.record import Run

FILE = Path(__file__).parent / "results" / "history.jsonl"


def remember(run: Run, release: str, path: Path = FILE) -> None:
    """Write the release's line, in place of one that there may be."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["release"] != release]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in (*kept, json.dumps(line_of(run, release)))), "utf-8")


def line_of(run: Run, release: str) -> dict[str, Any]:
    """What is kept of a run: ionbus's own figures, each with its ratios, by "workload system payload metric"."""
    return {
        "release": release,
        "about": run.about,
        "figures": {
            f"{each.workload} {each.system} {each.payload} {each.metric}": {
                "value": each.value,
                "unit": each.unit,
                "ratio_to": {system: ratio.value for system, ratio in each.ratio_to.items()},
            }
            for each in run.records
            if each.system.startswith("ionbus")
        },
    }
