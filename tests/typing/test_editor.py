"""What an editor shows of a generated contract: wrong lines red, types by their names, and what may be written next."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from editor import editing

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CASES = HERE / "generated_cases.ts"

TYPESCRIPT = """
import type { Bus } from "ionbus";
import { Probe } from "./generated/probe.js";

export async function main(bus: Bus) {
  const answer = await bus.call(Probe.echo, { text: "a", data: new Uint8Array() });
  bus.on(Probe.tick, (tick) => tick.number);
  bus.handle(Probe.question, (asked) => ({ text: asked.text, data: answer.data }));
  for await (const each of bus.stream(Probe.count, { name: "a", upto: 3 })) each.toFixed();
  bus.call(Probe.slow, {  });
}
"""

PYTHON = """
from contracts import Answer, Parcel, Probe, Question

from ionbus import Broker, Bus

broker = Broker(Probe)


async def main(bus: Bus, parcel: Parcel) -> None:
    answer = await bus.call(Probe.echo, parcel)
    async with bus.events(Probe.tick) as ticks:
        async for tick in ticks:
            print(tick, answer, Probe.slow)
    bus.handle(Probe.question)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the end-to-end tests' contract as it was generated, for tsc."""
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    (tmp_path / "generated").symlink_to(ROOT / "e2e/app/generated")
    options = {
        "strict": True,
        "target": "es2022",
        "module": "esnext",
        "moduleResolution": "bundler",
        "lib": ["es2022", "dom"],
        "types": [],
        "noEmit": True,
        "skipLibCheck": True,
        "preserveSymlinks": True,
    }
    settings = {"compilerOptions": options, "include": ["*.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(settings))
    return tmp_path


@pytest.mark.slow
def test_tsc_flags_exactly_the_marked_lines(project: Path) -> None:
    (project / CASES.name).write_text(CASES.read_text(encoding="utf-8"))
    tsc = ROOT / "node_modules/.bin/tsc"
    done = subprocess.run(
        [str(tsc), "--pretty", "false"], cwd=project, capture_output=True, text=True, check=False
    )
    found = re.findall(r"^(\S+?)\((\d+),\d+\): error (.*)$", done.stdout, re.MULTILINE)
    assert {name for name, _, _ in found} == {CASES.name}, done.stdout + done.stderr
    lines = CASES.read_text(encoding="utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, start=1) if line.endswith("// error")}
    assert {int(line) for _, line, _ in found} == marked


@pytest.mark.slow
def test_typescript_shows_the_named_types(project: Path) -> None:
    path = project / "main.ts"
    path.write_text(TYPESCRIPT)
    with editing("typescript", path) as file:
        assert file.hover("answer", "const answer").startswith("const answer: Parcel")
        assert file.hover("tick", "(tick)").startswith("(parameter) tick: Tick")
        assert file.hover("asked", "(asked)").startswith("(parameter) asked: Question")
        assert file.hover("each", "const each").startswith("const each: number")
        shown = file.hover("echo", "Probe.echo")
        assert shown.startswith('const echo: CallDescriptor<"probe.echo", Parcel, Parcel, "broker">')
        assert "Text and bytes, to be sent back as they came." in shown
        assert {"add", "echo", "tick", "emitTicks"} <= set(file.complete("Probe.", "Probe.slow"))
        assert file.complete("{ ", "slow, { ") == ["name", "seconds"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_python_shows_the_named_types(tmp_path: Path) -> None:
    path = tmp_path / "main.py"
    path.write_text(PYTHON)
    settings = {
        "include": ["main.py"],
        "extraPaths": [str(ROOT / "python"), str(ROOT / "e2e/app")],
        "venvPath": str(ROOT),
        "venv": ".venv",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    with editing("python", path) as file:
        assert file.hover("answer", "answer =") == "(variable) answer: Parcel"
        assert file.hover("tick", "tick in ticks") == "(variable) tick: Tick"
        assert file.hover("slow", "Probe.slow") == "(variable) slow: Call[Job, str, Literal['broker']]"
        assert {"add", "echo", "tick", "emit_ticks"} <= set(file.complete("Probe.", "Probe.slow"))
