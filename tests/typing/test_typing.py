"""The static types hold: mypy --strict and pyright flag exactly the lines that are marked `# error`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CASES = sorted(HERE.glob("*_cases.py"))
NOT_FOR_LINT = "# mypy: ignore-errors"
"""Stands first in the cases, so that linting passes over them; it is taken out here."""
MARK = re.compile(r"  # error( #|$)")


def marked_lines(case: Path) -> set[int]:
    lines = case.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if MARK.search(line)}


def flagged_by_mypy(case: Path, folder: Path) -> dict[int, str]:
    """The lines that mypy flags, with what it says."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"]
    command += ["--python-version", "3.11", "--cache-dir", str(folder), str(case)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found = re.findall(r"^(.+?):(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    elsewhere = [(name, message) for name, _, message in found if Path(name).name != case.name]
    assert not elsewhere
    return {int(line): message for _, line, message in found}


def flagged_by_pyright(case: Path, folder: Path) -> dict[int, str]:
    """The lines that pyright flags, with what it says."""
    pyright = ROOT / "node_modules" / ".bin" / "pyright"
    assert pyright.exists(), "pyright is missing; run `make setup`"
    (folder / "pyrightconfig.json").write_text(
        json.dumps(
            {
                "include": [case.name],
                "extraPaths": [str(ROOT / "python")],
                "pythonVersion": "3.11",
                "typeCheckingMode": "strict",
                "reportUnknownVariableType": False,
                "reportUnknownMemberType": False,
                "reportUnusedClass": False,
            }
        ),
        encoding="utf-8",
    )
    command = [str(pyright), "--outputjson", "--project", str(folder), "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found = [entry for entry in json.loads(done.stdout)["generalDiagnostics"] if entry["severity"] == "error"]
    return {entry["range"]["start"]["line"] + 1: entry["message"] for entry in found}


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_exactly_the_marked_lines_are_flagged(checker: str, case: Path, tmp_path: Path) -> None:
    text = case.read_text(encoding="utf-8")
    assert text.startswith(NOT_FOR_LINT)
    copy = tmp_path / case.name
    copy.write_text(text.replace(NOT_FOR_LINT, "#", 1), encoding="utf-8")
    flagged = flagged_by_mypy(copy, tmp_path) if checker == "mypy" else flagged_by_pyright(copy, tmp_path)
    marked = marked_lines(case)
    assert marked
    unexpected = {line: message for line, message in flagged.items() if line not in marked}
    assert unexpected == {}
    assert marked - set(flagged) == set()
