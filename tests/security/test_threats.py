"""docs/security.md keeps its word: each line of the threat model names tests, and all of them exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`((?:tests|js-shim|e2e)/[^`:]+)::([^`]+)`", PAGE)
CELLS = [
    [cell.strip() for cell in line.strip("| ").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ")
]
ROWS = [cells for cells in CELLS if len(cells) == 4 and cells[0] not in ("threat", "---")]


def test_the_page_has_a_threat_model() -> None:
    for part in (
        "Other users of this machine",
        "Any web page in the user's browser",
        "A compromised renderer",
        "A malicious frame inside a window",
        "A malicious client with a token",
        "What ionbus does not protect against",
    ):
        assert f"\n## {part}\n" in PAGE
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:60] for row in ROWS])
def test_each_threat_has_an_answer_and_a_test(row: list[str]) -> None:
    _, answer, limit, tests = row
    assert answer or limit
    assert re.search(r"`[^`]+\.(py|ts)::[^`]+`", tests)


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_each_test_that_is_named_exists(file: str, name: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".py"):
        assert re.search(rf"^(async )?def {re.escape(name)}\(", text, re.MULTILINE)
    else:
        assert re.search(
            rf"(?:\btest|\bit|\]\))\(\s*\"{re.escape(name)}\"|\"{re.escape(name)}\", async", text
        )


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+\.md)", PAGE))))
def test_each_page_that_it_leads_to_exists(target: str) -> None:
    assert (ROOT / "docs" / target).is_file()
