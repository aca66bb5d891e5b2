"""What docs/events.md says of the emitter is true: its example runs, and its table has the rows that are tested."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "events.md").read_text()


async def test_the_example_runs() -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    shown: list[tuple[object, ...]] = []
    names: dict[str, Any] = {"print": lambda *what: shown.append(what), "__name__": "example"}
    code = compile(example, "docs/events.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, names)
    assert shown == [("conductor.progress",), ("a", 5.0)]


def test_the_table_has_the_rows_of_the_cases() -> None:
    cases = json.loads((ROOT / "schemas" / "cases" / "emitter.json").read_text())["cases"]
    table = PAGE.partition("## What holds")[2]
    group, rows = "", []
    for first, rule in re.findall(r"^\| (?:(\w.*?) )?\| (.+) \|$", table, re.MULTILINE):
        group = first or group
        rows.append((group, rule))
    assert [row for row in rows if row[1] not in {"", "---"}] == [
        (case["group"], case["rule"]) for case in cases
    ]
