"""`ionbus doctor`: what is missing on this machine, and how to get it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import click

from ionbus.cli.output import show

Purpose = Literal["ionbus", "demo", "tests"]

LEAST_PYTHON = (3, 11)
LEAST_NODE = (20, 19)
PACKAGES = ("msgpack", "pydantic", "typing_extensions", "websockets", "click")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for. `found`: what is there, None: it is missing. `remedy`: how to get it."""

    name: str
    needed_for: Purpose
    found: str | None
    remedy: str


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def doctor(*, as_json: bool) -> None:
    """Say what is missing on this machine for ionbus, its demo and its tests, and how to get it.

    Exit status 1 where something is missing.
    """
    findings = list(look())
    for finding in findings:
        if as_json:
            show(vars(finding), as_json=True)
            continue
        mark = click.style("ok     ", fg="green") if finding.found else click.style("missing", fg="red")
        click.echo(f"{mark} {finding.name:<18} {finding.found or 'needed for ' + finding.needed_for}")
        if not finding.found:
            click.echo(f"        get it: {finding.remedy}")
    if any(finding.found is None for finding in findings):
        sys.exit(1)


def look() -> Iterator[Finding]:
    """Look for everything, in the order in which it is needed."""
    is_new_enough = sys.version_info >= LEAST_PYTHON
    spelled = ".".join(map(str, sys.version_info[:3]))
    least = ".".join(map(str, LEAST_PYTHON))
    yield Finding("Python", "ionbus", spelled if is_new_enough else None, f"install Python {least} or newer")
    for package in PACKAGES:
        yield Finding(package, "ionbus", _package(package), "pip install ionbus")
    yield Finding(
        "watchfiles", "tests", _package("watchfiles"), "pip install 'ionbus[codegen]' (for codegen --watch)"
    )
    yield Finding("Pillow", "demo", _package("pillow"), "pip install 'ionbus[examples]'")
    yield Finding(
        "Node.js",
        "demo",
        _node(),
        f"install Node.js {LEAST_NODE[0]}.{LEAST_NODE[1]} or newer, or `make setup`, which brings one along",
    )
    yield Finding(
        "Electron", "demo", _electron(), "`make demo` fetches one; or set IONBUS_ELECTRON to its executable"
    )
    if sys.platform == "linux":
        has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        screen = f"the display {has_screen}" if has_screen else None
        yield Finding("a screen or Xvfb", "demo", _program("Xvfb") or screen, "apt install xvfb")
    yield Finding(
        "Chromium",
        "tests",
        _first(_program, "chromium", "chromium-browser", "google-chrome"),
        "apt install chromium",
    )


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _program(name: str) -> str | None:
    return shutil.which(name)


def _first(find: Callable[[str], str | None], *names: str) -> str | None:
    return next((found for name in names if (found := find(name))), None)


def _node() -> str | None:
    for program in (_program("node"), _beside_python("node")):
        if program is None:
            continue
        said = subprocess.run(  # noqa: S603 - the node that was found
            [program, "--version"], capture_output=True, text=True, check=False
        ).stdout.strip()
        match = re.fullmatch(r"v(\d+)\.(\d+)\..*", said)
        if match and (int(match[1]), int(match[2])) >= LEAST_NODE:
            return f"{said[1:]} ({program})"
    return None


def _beside_python(name: str) -> str | None:
    path = Path(sys.executable).parent / name
    return str(path) if path.is_file() else None


def _electron() -> str | None:
    named = os.environ.get("IONBUS_ELECTRON")
    if named:
        return named if os.access(named, os.X_OK) else None
    pointer = Path("node_modules/electron/path.txt")
    if pointer.is_file():
        installed = pointer.parent / "dist" / pointer.read_text(encoding="utf-8").strip()
        if installed.is_file():
            return str(installed)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ionbus"
    cached = next(cache.glob("*/electron"), None) if cache.is_dir() else None
    return str(cached) if cached else _program("electron")
