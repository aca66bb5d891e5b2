"""On what it was measured."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "pydantic",
    "websockets",
    "msgpack",
    "ormsgpack",
    "uvloop",
    "python-socketio",
    "uvicorn",
    "grpcio",
    "wslink",
    "pygls",
)


def about(loop: str) -> dict[str, str]:
    """Name the machine, the versions and the loop."""
    facts = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "loop": loop,
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "node": _said("node", "--version").removeprefix("v"),
        "ionbus": _said("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"),
    }
    return facts | {package: found for package in PACKAGES if (found := _version(package))}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
