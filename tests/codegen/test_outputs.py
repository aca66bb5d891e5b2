"""What `ionbus codegen` writes, checks, only says, removes and watches."""

import importlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ionbus.cli import main
from ionbus.codegen import CodegenError, Outputs, apply, plan
from ionbus.codegen.asyncapi import parse
from ionbus.codegen.watch import watch

HERE = Path(__file__).parent
CONTRACT = '''
from pydantic import BaseModel, Field
from ionbus import Call, Contract, ContractError, Event, Stream

class Progress(BaseModel):
    """How far it is | so far."""
    node_id: str = Field(examples=["hash"])
    percent: float = Field(ge=0, le=100, description="Of the whole.")
    message: str | None = None

class Node(BaseModel):
    below: list["Node"]

class Broken(ContractError):
    """It is broken."""
    code = "broken"
    where: str

class Flow(Contract, name="flow", version="1.0"):
    """Runs flows."""
    progress = Event(Progress, delivery="latest", key="node_id")
    told = Event(str, source="client", deprecated="Use progress.")
    run = Call(Node, Progress, raises=[Broken], idempotent=True)
    lines = Stream(None, str)
    ask = Call(str, bytes, served_by="client", timeout=None)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "flow_contract.py").write_text(CONTRACT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("flow_contract", None)


ALL = ["--typescript", "ts", "--json-schema", "js", "--markdown", "md", "--asyncapi", "api/flow.yaml"]


def _codegen(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["codegen", *arguments])


def test_every_output_is_written_once(folder: Path) -> None:
    dry = _codegen("flow_contract", *ALL, "--dry-run")
    names = [
        "api/flow.yaml", "js/flow.schema.json", "md/flow.md", "ts/flow.errors.ts", "ts/flow.members.ts",
        "ts/flow.schema.ts", "ts/flow.ts",
    ]  # fmt: skip
    assert dry.output.splitlines() == [f"would write {name}" for name in names]
    assert not (folder / "ts").exists()
    assert _codegen("flow_contract", *ALL).output.splitlines() == names
    assert _codegen("flow_contract", *ALL).output == ""
    assert _codegen("flow_contract", *ALL, "--check").exit_code == 0


def test_check_shows_a_diff_and_fails(folder: Path) -> None:
    assert _codegen("flow_contract", *ALL).exit_code == 0
    page = folder / "md" / "flow.md"
    page.write_text(page.read_text(encoding="utf-8").replace("Runs flows.", "Walks."), encoding="utf-8")
    done = _codegen("flow_contract", *ALL, "--check")
    assert done.exit_code == 1
    assert "-Walks.\n+Runs flows.\n" in done.output
    assert "stale: md/flow.md; run the same command without --check" in done.output
    assert "Walks." in page.read_text(encoding="utf-8")


def test_what_nothing_makes_any_more_is_removed_and_the_rest_is_left(folder: Path) -> None:
    assert _codegen("flow_contract", *ALL).exit_code == 0
    for path in ("md/flow.md", "js/flow.schema.json"):
        old = folder / path
        old.rename(old.with_name(f"gone{old.suffix}"))
    (folder / "md" / "mine.md").write_text("# By hand\n", encoding="utf-8")
    lines = _codegen("flow_contract", *ALL).output.splitlines()
    assert lines == ["js/flow.schema.json", "removed js/gone.json", "md/flow.md", "removed md/gone.md"]
    assert (folder / "md" / "mine.md").exists()


def test_it_is_the_same_to_the_byte_in_another_process(folder: Path) -> None:
    made = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "ionbus.cli", "codegen", "flow_contract", *ALL]
        subprocess.run(command, check=True, cwd=folder, env={"PYTHONHASHSEED": seed}, capture_output=True)
        made.append({path: path.read_bytes() for path in folder.rglob("*flow.*")})
        for path in made[-1]:
            path.unlink()
    assert made[0] == made[1]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["flow_contract"], 2, "say what to make"),
        (["flow_contract", "--markdown", "md", "--check", "--dry-run"], 2, "take one"),
        (["flow_contract", "--python", "py"], 1, "flow_contract: --python takes AsyncAPI files"),
        (["flow_contract", "--asyncapi", "flow.txt"], 1, "ends in .yaml, .yml or .json"),
        (["flow.yaml", "--markdown", "md"], 1, "flow.yaml: it cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_made_is_told(arguments: list[str], status: int, message: str) -> None:
    done = _codegen(*arguments)
    assert done.exit_code == status
    assert message in done.output


def test_what_cannot_be_written_is_told_by_its_name(folder: Path) -> None:
    (folder / "taken").write_text("no folder")
    result = CliRunner().invoke(main, ["codegen", "flow_contract", "--typescript", "taken/ts"])
    assert result.exit_code == 1
    assert re.search(
        r"Error: taken/ts/flow\S*: it cannot be written: .*; name a folder that is yours", result.output
    )


def test_a_document_holds_one_contract(folder: Path) -> None:
    other = CONTRACT.replace('name="flow"', 'name="other"').replace("class Flow", "class Other")
    (folder / "other_contract.py").write_text(other, encoding="utf-8")
    with pytest.raises(CodegenError, match="there are flow, other; name one of them"):
        plan(["flow_contract", "other_contract"], Outputs(asyncapi=folder / "x.json"))


def test_what_is_exported_is_a_source_for_the_same_typescript(folder: Path) -> None:
    apply(plan(["flow_contract"], Outputs(asyncapi=folder / "flow.yaml", typescript=folder / "a")))
    apply(plan(["flow.yaml"], Outputs(typescript=folder / "b", asyncapi=folder / "again.json")))
    for path in (folder / "a").iterdir():
        _, *body = path.read_text(encoding="utf-8").splitlines()
        _, *again = (folder / "b" / path.name).read_text(encoding="utf-8").splitlines()
        assert body == again
    assert parse(folder / "again.json") == parse(folder / "flow.yaml")


def test_the_page_says_who_how_and_what(folder: Path) -> None:
    apply(plan(["flow_contract"], Outputs(markdown=folder / "md")))
    page = (folder / "md" / "flow.md").read_text(encoding="utf-8")
    for expected in (
        "# flow 1.0\n\nRuns flows.\n",
        "### flow.progress\n\nHow far it is | so far.\n\nPublished by the broker. ",
        "Delivery `latest`: only the newest for each `node_id`.\n",
        '```json\n{\n  "node_id": "hash",\n  "percent": 0.0,\n  "message": null\n}\n```',
        "### flow.told\n\n**Deprecated.** Use progress.\n\nPublished by clients.",
        "Served by the broker. Time-out: 30 s. May be sent again",
        "Raises [Broken](#broken).",
        "### flow.ask\n\nServed by the client. Time-out: no limit.",
        "Code `broken`. Raised by `flow.run`.",
        "| `percent` | number | required | Of the whole. |",
        "| `message` | text \\| null | required |  |",
    ):
        assert expected in page
    anchors = {heading.lower() for heading in re.findall(r"^### (.*)$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(.*?)\)", page)) <= anchors


def test_the_json_schema_names_every_payload(folder: Path) -> None:
    apply(plan(["flow_contract"], Outputs(json_schema=folder)))
    document = json.loads((folder / "flow.schema.json").read_text(encoding="utf-8"))
    definitions = document["$defs"]
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert definitions["flow.run.request.sent"] == {"$ref": "#/$defs/Node-Input"}
    assert definitions["flow.error.broken.received"] == {"$ref": "#/$defs/Broken"}
    for target in re.findall(r'"\$ref": "#/\$defs/(.*?)"', json.dumps(document)):
        assert target in definitions


MANY = """
from typing import Any
from pydantic import BaseModel, Field, create_model
from ionbus import Contract, Event
KINDS = (int, str, float, list[str], str | None)
models: list[Any] = []
for i in range(500):
    fields: Any = {f"f{j}": (KINDS[j % 5], ... if j % 2 else Field(None, description="Some.")) for j in range(8)}
    if i % 8:
        fields["before"] = (models[-1] | None, ...)
    models.append(create_model(f"Model{i}", __module__=__name__, **fields))
make: Any = type
members = {f"e{i}": Event(model) for i, model in enumerate(models)}
Many = make("Many", (Contract,), {"__module__": __name__, "__qualname__": "Many", **members}, name="many")
"""


@pytest.mark.slow
def test_500_models_are_generated_at_once(
    folder: Path, record_property: Callable[[str, object], None]
) -> None:
    (folder / "many_contract.py").write_text(MANY, encoding="utf-8")
    importlib.import_module("many_contract")
    outputs = Outputs(typescript=folder / "ts")
    try:
        began = time.monotonic()
        apply(plan(["many_contract"], outputs))
        took = time.monotonic() - began
    finally:
        del sys.modules["many_contract"]
    record_property("codegen: ms for the TypeScript of 500 models", round(took * 1000))
    assert "export interface Model499 {" in (folder / "ts" / "many.ts").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", ["flow_contract", "flow.yaml"])
def test_watching_answers_each_save(folder: Path, source: str) -> None:
    file, contract = folder / "flow_contract.py", CONTRACT
    if source == "flow.yaml":
        file = folder / source
        apply(plan(["flow_contract"], Outputs(asyncapi=file)))
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        contract = "".join(line for line in lines if "fingerprint" not in line)  # as one by hand
        file.write_text(contract, encoding="utf-8")
    outputs = Outputs(typescript=folder / "ts", markdown=folder / "md")
    runs: list[int] = []
    stop = threading.Event()

    def run() -> None:
        changes = plan([source], outputs)
        apply(changes)
        runs.append(len(changes))

    watching = threading.Thread(target=watch, args=([source], run, stop))
    watching.start()
    try:
        _wait_for(lambda: bool(runs))
        for number in range(5):
            text = contract.replace("Runs flows.", f"Runs {number}.")  # the same size, within one second
            file.write_text(text, encoding="utf-8")
            _wait_for(lambda: f"Runs {number}." in (folder / "md/flow.md").read_text(encoding="utf-8"))  # noqa: B023
    finally:
        stop.set()
        watching.join(10)
    assert not watching.is_alive()


def _wait_for(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until, "nothing came of it"
        time.sleep(0.005)


def test_watch_mode_goes_on_after_a_mistake(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ionbus.cli",
        "codegen",
        "flow_contract",
        "--markdown",
        "md",
        "--watch",
        "--check",
    ]
    watching = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert watching.stdout is not None
    try:
        assert _line(watching, "stale: ") == "stale: md/flow.md; run the same command without --check\n"
        (folder / "flow_contract.py").write_text("class Flow(\n", encoding="utf-8")
        _line(watching, "SyntaxError")
        (folder / "flow_contract.py").write_text(CONTRACT.replace("Runs", "Mends"), encoding="utf-8")
        assert _line(watching, "+Mends") == "+Mends flows.\n"
    finally:
        watching.terminate()
        watching.wait(10)
        watching.stdout.close()


def _line(watching: "subprocess.Popen[str]", beginning: str) -> str:
    assert watching.stdout is not None
    for line in watching.stdout:
        if line.startswith(beginning):
            return line
    raise AssertionError(f"it ended before it printed {beginning!r}")
