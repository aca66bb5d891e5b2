"""Models that we did not write, as AsyncAPI and back, and as Python that was generated from that."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from ionbus.codegen import Outputs, apply, plan
from ionbus.codegen.asyncapi import write_asyncapi, write_text
from ionbus.codegen.python import load_python, write_python
from ionbus.codegen.source import load_file
from ionbus.contract.description import describe_contract

from .public_models import UNIONS, contract_of

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.mark.parametrize("library", UNIONS, ids=lambda library: library.__name__)
def test_a_contract_comes_back_from_its_document(
    library: ModuleType, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    contract = describe_contract(contract_of(library).__contract__)
    as_yaml, file = tmp_path / "outside.yaml", tmp_path / "outside.json"
    for path in (as_yaml, file):
        path.write_text(write_text(write_asyncapi(contract), path), encoding="utf-8")
        assert load_file(path) == contract
    apply(plan([str(file)], Outputs(markdown=tmp_path, json_schema=tmp_path)))
    assert (tmp_path / "outside.md").exists()
    record_property("codegen: schemas from outside through AsyncAPI", len(contract.schema.definitions))


@pytest.mark.parametrize("library", UNIONS, ids=lambda library: library.__name__)
def test_its_python_is_right_for_mypy_and_ruff_and_says_the_same_again(
    library: ModuleType, tmp_path: Path
) -> None:
    contract = describe_contract(contract_of(library).__contract__)
    once = load_python(contract)
    assert load_python(once).fingerprint == once.fingerprint
    assert [member.name for member in once.members] == [member.name for member in contract.members]
    for name, text in write_python(contract, "Generated.").items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        for command in (
            ["mypy", "--strict", "--config-file", "", str(tmp_path / name)],
            ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(tmp_path / name)],
        ):
            done = subprocess.run(
                [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT
            )
            assert done.returncode == 0, done.stdout + done.stderr
