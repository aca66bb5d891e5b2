"""The example whose contract is an AsyncAPI file: what is checked in is fresh, and the two sides talk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ionbus.cli import main

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "schema-first"
COMMAND = ["codegen", "chat.asyncapi.yaml", "--python", "generated", "--typescript", "generated"]


def test_what_is_checked_in_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE)
    done = CliRunner().invoke(main, [*COMMAND, "--check"])
    assert done.exit_code == 0, done.output


def test_the_file_and_its_python_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    done = CliRunner().invoke(main, ["schema", "diff", "chat.asyncapi.yaml", "generated.chat"])
    assert done.output == "no changes\n"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_two_sides_talk() -> None:
    node = Path(sys.executable).with_name("node")
    assert node.exists(), "Node.js is missing; run `make setup`"
    assert (ROOT / "js-shim" / "dist" / "esm").exists(), "the package is not built; run `make check`"
    subprocess.run([node, "build.mjs"], cwd=EXAMPLE, check=True)
    done = subprocess.run(
        [node, "build/client.mjs"],
        cwd=EXAMPLE,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "heard: Ada: Hello (neutral)",
        "heard: Bob: Hello, Ada (happy)",
        "history: Hello",
        "history: Hello, Ada",
        "refused: The text is too long. At most 140 characters.",
        "said, with an id of 36 characters",
    ]
