"""Python and TypeScript make the same of hostile input: a short run; `make fuzz` is the long one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fuzz import differential
from fuzz.board import Board

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The TypeScript side, bundled from its sources."""
    built = tmp_path_factory.mktemp("fuzz") / "fuzz.mjs"
    command = [str(ROOT / "node_modules/.bin/esbuild"), str(ROOT / "js-shim/test/fuzz/main.ts")]
    options = ["--bundle", "--platform=node", "--format=esm", f"--outfile={built}", "--log-level=warning"]
    subprocess.run([*command, *options], check=True)
    return built


@pytest.mark.parametrize(
    ("name", "inputs"), [("values", 6_000), ("frames", 6_000), ("session", 3_000), ("connection", 3_000)]
)
def test_both_languages_make_the_same_of_it(
    name: str, inputs: int, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differential, "PROGRAM", program)
    report = differential.compare(name, 20_261_124, inputs, Board(tmp_path / "board"))
    assert report["found"] == []
    assert report["inputs"] >= inputs
