"""What docs/getting-started.md and the README show is run: the Python served, the commands typed, the TypeScript compiled."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from served import served as serving

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def blocks(page: str, language: str) -> list[str]:
    """The fenced code of one language on a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@dataclass
class Project:
    """An application's folder, made from the page."""

    folder: Path

    def run(self, *command: str, **environment: str) -> str:
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


GUIDE, README = "docs/getting-started.md", "README.md"
for_the_guide = pytest.mark.parametrize("project", [GUIDE], indirect=True)


@pytest.fixture(params=[GUIDE, README])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    contracts, app, *_ = blocks(request.param, "python")
    (tmp_path / "contracts.py").write_text(contracts.removeprefix("# contracts.py\n"))
    (tmp_path / "app.py").write_text(app.removeprefix("# app.py\n"))
    return Project(tmp_path)


@pytest.fixture
def served(project: Project) -> Iterator[dict[str, str]]:
    """The broker of the page, running; what a shell would have exported."""
    with serving(project.folder) as reach:
        yield reach


def test_the_commands_reach_the_broker(project: Project, served: dict[str, str]) -> None:
    answer = project.run("ionbus", "call", "hello.greet", '"world"', "--json", **served)
    assert json.loads(answer) == {"text": "Hello, world"}


@for_the_guide
def test_the_stream_can_be_read(project: Project, served: dict[str, str]) -> None:
    lines = project.run("ionbus", "stream", "hello.countdown", "3", "--json", **served).split()
    assert [json.loads(line) for line in lines] == [3, 2, 1]


def test_the_client_in_python(project: Project, served: dict[str, str]) -> None:
    client = blocks("docs/getting-started.md", "python")[2]
    lines = ["import asyncio, os", "from ionbus import connect", "from contracts import Hello"]
    lines += ["async def main():", "    token = os.environ['IONBUS_TOKEN']"]
    lines += ["    " + line for line in client.splitlines()] + [
        "        print(greeting.text)",
        "asyncio.run(main())",
    ]
    program = "\n".join(lines).replace("ws://127.0.0.1:8765", served["IONBUS_URL"])
    (project.folder / "client.py").write_text(program)
    assert project.run("python", "client.py", **served) == "Hello, world\n"


@for_the_guide
def test_the_typescript_of_the_guide_compiles(project: Project) -> None:
    main, renderer, _, browser, node = blocks(GUIDE, "ts")
    compile_typescript(
        project,
        {
            "main.ts": main,
            "renderer.ts": renderer,
            "browser.ts": f"declare const token: string;\n{browser}",
            "node.ts": f'import {{ Hello }} from "./generated/hello";\n{node}',
            "preload.ts": 'import "ionbus/electron-preload";\n',
        },
    )


@pytest.mark.parametrize("project", [README], indirect=True)
def test_the_typescript_of_the_readme_compiles(project: Project) -> None:
    renderer, main = blocks(README, "ts")
    window = "declare const window: import('electron').BrowserWindow;\n"
    compile_typescript(project, {"main.ts": window + main, "renderer.ts": renderer})


def compile_typescript(project: Project, files: dict[str, str]) -> None:
    """Generate the contract, then have tsc check the files against the package as it was built."""
    project.run("ionbus", "codegen", "contracts", "--typescript", "generated")
    for name, text in files.items():
        (project.folder / name).write_text(text)
    (project.folder / "node_modules").symlink_to(ROOT / "node_modules")
    options = {
        "strict": True,
        "target": "es2022",
        "module": "esnext",
        "moduleResolution": "bundler",
        "lib": ["es2022", "dom", "esnext.disposable"],
        "types": ["node"],
        "noEmit": True,
        "skipLibCheck": True,
    }
    (project.folder / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": options, "include": ["*.ts"]})
    )
    done = subprocess.run(
        [str(BIN / "node"), str(ROOT / "node_modules/typescript/bin/tsc"), "--project", "."],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_electron_vite_lines_are_those_that_are_built_and_run() -> None:
    shown = blocks("docs/getting-started.md", "ts")[2]
    assert 'preload: { build: { externalizeDeps: { exclude: ["ionbus"] } } }' in shown
    built = (ROOT / "e2e/electron-vite-app/electron.vite.config.ts").read_text()
    assert 'externalizeDeps: { exclude: ["ionbus"] }' in built
