"""The TypeScript that the window uses is what `ionbus codegen` makes of contracts.py, and of what every broker serves, today."""

import subprocess
import sys
from pathlib import Path

import pytest

CONDUCTOR = Path(__file__).parents[2] / "examples" / "conductor"


@pytest.mark.parametrize("module", ["contracts", "ionbus.admin"])
def test_the_generated_typescript_is_up_to_date(module: str) -> None:
    check = subprocess.run(
        [
            sys.executable,
            "-m",
            "ionbus.cli",
            "codegen",
            module,
            "--typescript",
            "src/generated",
            "--check",
        ],
        cwd=CONDUCTOR,
        check=False,
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stdout + check.stderr
