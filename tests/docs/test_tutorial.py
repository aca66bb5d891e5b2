"""What docs/tutorial.md shows is done: its code is served, generated, completed, changed, and turns red where it says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from editor import editing
from served import served

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/tutorial.md"
BIN = Path(sys.executable).parent
OLD_FIELDS = "    width: int\n    height: int\n"


def blocks(language: str) -> list[str]:
    """The fenced code of one language on the page, in order."""
    text = PAGE.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [code for named, code in fenced if named == language]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The application after step 4."""
    contracts, app, _ = blocks("python")
    [renderer] = blocks("ts")
    (tmp_path / "contracts.py").write_text(contracts)
    (tmp_path / "app.py").write_text(app)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/renderer.ts").write_text(renderer)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    options = {
        "strict": True,
        "target": "es2022",
        "module": "esnext",
        "moduleResolution": "bundler",
        "lib": ["es2022", "dom", "esnext.disposable"],
        "types": [],
        "noEmit": True,
        "skipLibCheck": True,
    }
    settings = {"compilerOptions": options, "include": ["src/*.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(settings))
    (tmp_path / "mypy.ini").write_text(
        f"[mypy]\nstrict = True\nplugins = pydantic.mypy\nmypy_path = {ROOT}/python\n"
    )
    return tmp_path


def change(project: Path) -> None:
    """Do step 5."""
    contracts = (project / "contracts.py").read_text()
    (project / "old_contracts.py").write_text(contracts)
    before, _, after = contracts.partition("class Photo(BaseModel):")
    _, search, rest = after.partition("class Search(BaseModel):")
    new_photo = blocks("python")[2]
    (project / "contracts.py").write_text(f"{before}{new_photo}\n\n{search}{rest}")


def run(project: Path, *command: str, status: int = 0, reach: dict[str, str] | None = None) -> str:
    """Run a program of this environment; what it printed."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=project,
        env={**os.environ, **(reach or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def generate(project: Path, *options: str, status: int = 0) -> str:
    command = ["codegen", "contracts", "--typescript", "src/generated"]
    return run(project, "ionbus", *command, *options, status=status)


def tsc(project: Path) -> str:
    command = [str(BIN / "node"), str(ROOT / "node_modules/typescript/bin/tsc"), "--pretty", "false"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


def test_the_call_is_answered(project: Path) -> None:
    typed = re.search(r"ionbus call photos\.search '(.*)'", PAGE.read_text(encoding="utf-8"))
    assert typed
    with served(project) as reach:
        answer = run(project, "ionbus", "call", "photos.search", typed[1], "--json", reach=reach)
    assert [photo["path"] for photo in json.loads(answer)] == ["beach.jpg", "harbour.jpg"]


@pytest.mark.slow
def test_the_editor_shows_what_the_page_says(project: Path) -> None:
    generate(project)
    made = (project / "src/generated/photos.ts").read_text()
    for name in ("Photo", "SearchInput"):
        assert f"export interface {name} {{" in made
    assert tsc(project) == ""
    run(project, "mypy", "app.py", "contracts.py")
    path = project / "src/renderer.ts"
    with editing("typescript", path) as file:
        members = file.complete("Photos.", "Photos.search, {")
        assert {"search", "added"} <= set(members)
        assert not [name for name in members if not name.startswith("_") and name not in {"search", "added"}]
        assert set(file.complete("{ ", 'Photos.search, { text: "sea"')) == {"text", "limit"}
        assert file.hover("photos", "const photos").startswith("const photos: Photo[]")
    text = path.read_text()
    path.write_text(text.replace('{ text: "sea" }', "{ text: 3 }"))
    assert "renderer.ts(8," in tsc(project)
    path.write_text(f'{text}await bus.emit(Photos.added, {{ path: "", width: 1, height: 1, tags: [] }});\n')
    assert "renderer.ts(10," in tsc(project)


@pytest.mark.slow
def test_a_changed_field_turns_red_on_both_sides(project: Path) -> None:
    generate(project)
    change(project)
    shown = blocks("")
    flagged = run(project, "mypy", "app.py", status=1)
    [errors] = [block for block in shown if block.startswith("app.py:")]
    assert flagged.startswith(errors)
    generate(project)
    [red] = [block for block in shown if block.startswith("src/renderer.ts(")]
    assert tsc(project) == red


def test_forgetting_to_generate_is_told(project: Path) -> None:
    generate(project)
    change(project)
    assert "size: Size" in generate(project, "--check", status=1)


def test_the_difference_names_who_breaks(project: Path) -> None:
    change(project)
    [shown] = [block for block in blocks("") if block.startswith("breaking")]
    assert run(project, "ionbus", "schema", "diff", "old_contracts", "contracts", status=1) == shown
    contracts = (project / "contracts.py").read_text()
    kept = contracts.replace("    size: Size\n", f"{OLD_FIELDS}    size: Size\n")
    (project / "contracts.py").write_text(kept)
    assert "breaking" not in run(project, "ionbus", "schema", "diff", "old_contracts", "contracts")


OLD_WINDOW = """
import { connect } from "ionbus";
import { Photos } from "./src/generated/photos";

const bus = connect({ url: process.env["IONBUS_URL"]!, token: process.env["IONBUS_TOKEN"]! });
try {
  const photos = await bus.call(Photos.search, { text: "sea" });
  console.log(photos.map((photo) => `${photo.path} ${photo.width * photo.height}`).join("\\n"));
} catch (error) {
  console.log(`${error}`);
}
await bus.close();
"""


@pytest.mark.slow
def test_an_old_window_works_with_a_broker_that_keeps_the_fields_and_is_told_by_one_that_does_not(
    project: Path,
) -> None:
    generate(project)
    (project / "window.ts").write_text(OLD_WINDOW)
    esbuild = [
        str(ROOT / "node_modules/.bin/esbuild"),
        "window.ts",
        "--bundle",
        "--splitting",
        "--format=esm",
    ]
    build = [*esbuild, "--platform=node", "--outdir=built", "--out-extension:.js=.mjs", "--packages=external"]
    subprocess.run(build, cwd=project, check=True, capture_output=True, timeout=60)
    assert (
        len(list(project.glob("built/photos.schema-*.mjs"))) == 1
    )  # loaded when the broker asks, and not before

    change(project)
    app, changed = (project / "app.py").read_text(), (project / "contracts.py").read_text()
    kept = changed.replace("    size: Size\n", f"{OLD_FIELDS}    size: Size | None = None\n")
    (project / "contracts.py").write_text(kept)
    with served(project) as reach:
        shown = run(project, "node", "built/window.mjs", reach=reach)
    assert shown.splitlines() == ["beach.jpg 12000000", "harbour.jpg 6000000"]

    (project / "contracts.py").write_text(changed.replace('"1.0"', '"2.0"'))
    in_one = re.sub(r"width=(\d+), height=(\d+)", r"size=Size(width=\1, height=\2)", app)
    (project / "app.py").write_text(in_one.replace("Search\n", "Search, Size\n", 1))
    with served(project) as reach:
        shown = run(project, "node", "built/window.mjs", reach=reach)
    assert re.match(r"ContractMismatch: the contract photos differs: .* version 1\.0 .* serves 2\.0 ", shown)
    assert "photos.added payload.height: field removed, required" in shown
