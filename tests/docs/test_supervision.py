"""The options that docs/supervision.md lists are those that there are, on both sides."""

import dataclasses
import inspect
import re
from pathlib import Path

from ionbus import BrokerHealth, LaunchedBroker, RestartPolicy

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "supervision.md").read_text()


def test_the_options_of_both_sides_are_all_there() -> None:
    rows = re.findall(r"^\| (`[^|]+) \| (`[^|]+) \|", PAGE[PAGE.index("## Options") :], re.MULTILINE)
    ours = {name for _, cell in rows for name in re.findall(r"`([\w.]+)`", cell)}
    policy = {f"RestartPolicy.{field.name}" for field in dataclasses.fields(RestartPolicy)}
    parameters = set(inspect.signature(LaunchedBroker).parameters) - {"role"}
    assert parameters | policy <= ours

    theirs = {name for cell, _ in rows for name in re.findall(r"`([\w.]+)`", cell)}
    source = "".join(
        (ROOT / "js-shim" / "src" / "node" / name).read_text()
        for name in ("supervisor.ts", "child_process.ts")
    )
    command = source[source.index("export interface Command") :]
    options = source[source.index("export interface LaunchOptions") :]
    declared = {
        name
        for text in (command, options)
        for name in re.findall(r"readonly (\w+)\??:", text[: text.index("\n}")])
    }
    assert declared <= theirs


def test_what_health_tells_is_all_there() -> None:
    for field in dataclasses.fields(BrokerHealth):
        assert f"`{field.name}`" in PAGE
