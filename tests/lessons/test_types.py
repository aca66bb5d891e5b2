"""How generated types have gone wrong elsewhere; each test is named after what happened (docs/lessons.md).

types/*.ts use what is generated from shapes.py: right uses compile, and wrong ones stand under `@ts-expect-error`, which
the compiler verifies as well.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from codegen import echo
from ionbus import InvalidPayload
from ionbus.codegen.reader import read_contract
from ionbus.codegen.typescript import write_typescript
from lessons.shapes import Digits, Shapes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TYPES = Path(__file__).parent / "types"


class Project:
    """The uses and what they use, compiled once for all tests of this file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        seen = {
            "wide": "typeof value === 'bigint'",
            "many": "Object.values(value).flat().every((each) => typeof each === 'bigint')",
            "plain": "typeof value === 'number' && Number.isSafeInteger(value)",
        }
        echo.write_project(Digits, folder, seen, {"doubled": "value * 2"})
        for name, text in write_typescript(read_contract(Shapes.__contract__), "test").items():
            (folder / name).write_text(text, encoding="utf-8")
        for path in TYPES.glob("*.ts"):
            shutil.copy(path, folder)
        settings = {**echo.STRICT, "outDir": "out", "preserveSymlinks": False}
        (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": settings, "include": ["*.ts"]}))
        done = subprocess.run(
            ["node", echo.COMPILERS["7"], "--project", folder, "--pretty", "false"],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
        self._problems = done.stdout.splitlines()

    def problems(self, name: str) -> list[str]:
        """What the compiler says of one of types/*.ts, or of what all of them use."""
        assert (self.folder / "out" / f"{Path(name).stem}.js").exists()
        others = tuple(f"{path.name}(" for path in TYPES.glob("*.ts") if path.name not in (name, "equal.ts"))
        return [line for line in self._problems if not line.startswith(others)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("types"))


def test_a_field_with_a_default_becomes_optional_in_typescript_even_where_the_server_always_sends_it(
    project: Project,
) -> None:
    """A field with a default becomes optional in TypeScript even where the server always sends it
    (phillipdupuis/pydantic-to-typescript#36)."""
    assert project.problems("defaults.ts") == []


def test_discriminated_unions_break_and_unions_have_no_name(project: Project) -> None:
    """Discriminated unions break; unions have no name (pydantic#12612, asyncapi/modelina#2315)."""
    assert project.problems("unions.ts") == []


async def test_64_bit_integers_lose_digits(project: Project) -> None:
    """64-bit integers lose digits (msgpack/msgpack-javascript#115, #183)."""
    assert project.problems("integers.ts") == []
    assert project.problems("echo.ts") == []
    edges = [*range(2**53 - 2, 2**53 + 3), 2**63 - 1, 0, 1]
    async with echo.echoing(Digits, project.folder) as there_and_back:
        for value in [*edges, *(-edge for edge in edges), -(2**63)]:
            assert await there_and_back("wide", value) == value
        many = {"edges": edges, "none": []}
        assert await there_and_back("many", many) == many
        for value in (0, -1, 2**53 - 1, 1 - 2**53):
            assert await there_and_back("plain", value) == value
        assert await there_and_back("doubled", 2**51) == 2**52
        with pytest.raises(InvalidPayload, match="loses digits"):
            await there_and_back("doubled", 2**52)  # what comes back may be rounded
        with pytest.raises(InvalidPayload, match="loses digits"):
            await there_and_back("plain", 2**53)


def test_events_and_streams_are_left_out_of_the_generator(project: Project) -> None:
    """Events and streams are left out of the generator (pytauri's own FAQ)."""
    assert project.problems("events_and_streams.ts") == []
    listed = subprocess.check_output(["node", project.folder / "out" / "events_and_streams.js"])
    assert sorted(json.loads(listed)) == sorted(
        f"{member.kind} {member.name}" for member in Shapes.__contract__.members.values()
    )


def test_a_time_out_option_breaks_the_types_of_acknowledgements(project: Project) -> None:
    """A time-out option breaks the types of acknowledgements (socket.io#4925)."""
    assert project.problems("timeouts.ts") == []
