"""docs/lessons.md names every test that is a lesson, and each test that it names is there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = "tests/lessons"
TYPESCRIPT = ("js-shim/test/lessons", "e2e/lessons")
Test = tuple[str, str]
"""A file, and the name of a test in it."""


def named() -> Counter[Test]:
    page = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8")
    links = re.findall(r"\[(.+?)\]\(\.\./([\w/.-]+)\)", page)
    return Counter((path, name.strip("`") if path.endswith(".py") else name) for name, path in links)


def written() -> Counter[Test]:
    found: Counter[Test] = Counter()
    for path in sorted((ROOT / PYTHON).glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                found[path.relative_to(ROOT).as_posix(), node.name] += 1
    for folder in TYPESCRIPT:
        for path in sorted((ROOT / folder).glob("**/*.test.ts")):
            source = path.read_text(encoding="utf-8")
            titles: list[str] = re.findall(r'^ *(?:test|it)\("([^"]+)", ', source, re.MULTILINE)
            assert len(titles) == len(re.findall(r"^ *(?:test|it)\b", source, re.MULTILINE)), (
                f"{path}: a title that is no text"
            )
            found.update((path.relative_to(ROOT).as_posix(), title) for title in titles)
    return found


def test_every_lesson_has_its_test_and_every_test_its_lesson() -> None:
    assert named() == written()
    assert len(written()) > 40


def test_a_test_in_python_tells_its_lesson_and_where_it_was_told() -> None:
    for path in sorted((ROOT / PYTHON).glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                assert re.search(r"\(.+\)\.$", ast.get_docstring(node) or ""), node.name
