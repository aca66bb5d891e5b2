"""The TypeScript that the window uses is what `ionbus codegen` makes of contracts.py today."""

import subprocess
import sys
from pathlib import Path

CONDUCTOR = Path(__file__).parents[2] / "examples" / "conductor"


def test_the_generated_typescript_is_up_to_date() -> None:
    check = subprocess.run(
        [
            sys.executable,
            "-m",
            "ionbus.cli",
            "codegen",
            "contracts",
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
