"""The TypeScript of docs/testing.md is compiled and run; e2e/electron/docs.test.ts runs the tutorial's window."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from served import served

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/testing.md"
BIN = Path(sys.executable).parent
CONDUCTOR = """
from pydantic import BaseModel
from ionbus import Broker, Call, Contract, Event

class Done(BaseModel):
    percent: float

class Conductor(Contract, name="conductor", version="1.0"):
    ping = Call(None, None)
    progress = Event(Done)
    finished = Event(None)
    failed = Event(None)

broker = Broker(Conductor)

@broker.handle(Conductor.ping)
async def ping() -> None:
    pass
"""
BEFORE = """
import { expect, test, vi } from "vitest";
import { Conductor } from "./generated/conductor";

declare const process: { env: Record<string, string> };
const { IONBUS_URL: url = "", IONBUS_TOKEN: token } = process.env;
const broker = fakeBroker();
broker.handle(Conductor.ping, () => null);
const show = vi.fn();
const at = await pair();
async function play(): Promise<void> {
  await at.broker.emit(Conductor.progress, { percent: 60 });
  await at.broker.emit(Conductor.progress, { percent: 100 });
  setTimeout(() => void at.broker.emit(Conductor.finished), 5);
}
"""
AFTER = """
test("the fake timers were moved", () => expect(show).toHaveBeenCalledOnce());
"""


def blocks(text: str) -> list[str]:
    """The fenced TypeScript, in order."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [code for named, code in fenced if named == "ts"]


def parts() -> tuple[list[str], list[str]]:
    """The blocks of the reference, and those of the tutorial."""
    reference, _, tutorial = PAGE.read_text(encoding="utf-8").partition("\n## Test your Electron")
    return blocks(reference), blocks(tutorial)


def contracts() -> str:
    """The first Python block of the tutorial."""
    _, _, tutorial = PAGE.read_text(encoding="utf-8").partition("\n## Test your Electron")
    found = re.search(r"^```python\n(.*?)^```$", tutorial, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def suite_of(reference: list[str]) -> str:
    """The blocks of the reference, each as a test; their imports in front."""
    imports: dict[str, set[str]] = {"ionbus/testing": {"fakeBroker", "pair"}}
    tests = []
    for number, block in enumerate(reference):
        for names, module in re.findall(r'^import \{ (.*) \} from "(.*)";$', block, re.MULTILINE):
            imports.setdefault(module, set()).update(names.split(", "))
        body = re.sub(r"^import .*$", "", block, flags=re.MULTILINE)
        tidy = "vi.useRealTimers();" if "useFakeTimers" in body else ""
        tests.append(f'test("block {number}", async () => {{\n{body}\n{tidy}}});\n')
    head = [f'import {{ {", ".join(sorted(names))} }} from "{module}";' for module, names in imports.items()]
    return "\n".join([*head, BEFORE, *tests, AFTER])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    reference, (view, *tutorial) = parts()
    source = tmp_path / "src"
    source.mkdir()
    (tmp_path / "contracts.py").write_text(contracts())
    (tmp_path / "conductor.py").write_text(CONDUCTOR)
    (source / "view.ts").write_text(view)
    (source / "view.test.ts").write_text("\n".join(tutorial[:4]))
    (source / "renderer.ts").write_text(tutorial[4])
    (source / "reference.test.ts").write_text(suite_of(reference))
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    options = {
        "strict": True,
        "target": "es2022",
        "module": "esnext",
        "moduleResolution": "bundler",
        "lib": ["es2022", "dom", "dom.iterable", "esnext.disposable"],
        "types": [],
        "noEmit": True,
        "skipLibCheck": True,
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["src"]}))
    for module in ("contracts", "conductor"):
        run(tmp_path, str(BIN / "ionbus"), "codegen", module, "--typescript", "src/generated")
    return tmp_path


def run(project: Path, *command: str, **environment: str) -> str:
    """Run a program in the project; what it printed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VITEST")}
    done = subprocess.run(
        command,
        cwd=project,
        env={**inherited, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_blocks_compile_and_the_tests_pass(project: Path) -> None:
    reference, tutorial = parts()
    assert (len(reference), len(tutorial)) == (7, 7)
    node = str(BIN / "node")
    run(project, node, str(ROOT / "node_modules/typescript/bin/tsc"), "--pretty", "false")
    with served(project, "conductor:broker") as reach:
        told = run(project, node, str(ROOT / "node_modules/vitest/vitest.mjs"), "run", **reach)
    assert re.search(r"Test Files\s+2 passed", told), told
    assert re.search(r"Tests\s+12 passed", told), told
