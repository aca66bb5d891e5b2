"""What generating costs, in processor time, beyond importing: `python benchmarks/codegen.py [MODELS]`, 500 unless told otherwise.

A module with that many models, a call for each, and declared errors, is written, imported and generated as TypeScript. Each model
has twelve fields, some of them other models, a list, a mapping, a default, a 64-bit integer.
"""

import importlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEAD = """
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from ionbus import Call, Contract, ContractError, Int64

"""
MODEL = """
class Model{n}(BaseModel):
    \"\"\"The model number {n}.\"\"\"

    id: UUID
    kind: Literal["kind_{n}"]
    name: str = Field(max_length=100, description="What people call it.")
    count: int = 3
    total: Int64
    price: Decimal
    made_at: datetime
    tags: list[str] = []
    by_name: dict[str, int]
    by_number: dict[int, str]
    before: {before} | None = None
    others: list[{other}]
"""


def write_module(count: int) -> str:
    models = [
        MODEL.format(
            n=n, before=f"Model{n // 10}" if n else "int", other=f"Model{n - n % 10}" if n % 10 else "str"
        )
        for n in range(count)
    ]
    calls = [f"    call_{n} = Call(Model{n}, Model{(n * 7) % count})\n" for n in range(count)]
    return f"{HEAD}{''.join(models)}\n\nclass Many(Contract, name='many'):\n{''.join(calls)}"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    from ionbus import codegen  # noqa: PLC0415 - not part of what is measured

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "many_models.py").write_text(write_module(count), encoding="utf-8")
        sys.path.insert(0, folder)
        start = time.process_time()
        importlib.import_module("many_models")
        imported = time.process_time()
        files = codegen.generate(["many_models"])
        generated = time.process_time()
    size = sum(map(len, files.values()))
    print(
        f"{count} models: import {imported - start:.2f} s, generate {generated - imported:.2f} s, {size:,} characters"
    )
    with tempfile.TemporaryDirectory() as folder:
        took = answer_saves(Path(folder), 20)
    print(f"--watch: from a save to its file, median of {len(took)}: {statistics.median(took) * 1000:.0f} ms")


SAVED = """
from ionbus import Call, Contract


class Saved(Contract, name="saved"):
    \"\"\"Number {}.\"\"\"

    ping = Call(None, None)
"""


def answer_saves(folder: Path, saves: int) -> list[float]:
    """Save a module so often while `ionbus codegen --watch` runs over it; seconds until each save is answered."""
    source, made = folder / "saved.py", folder / "ts/saved.ts"
    source.write_text(SAVED.format("x"), encoding="utf-8")
    command = [sys.executable, "-m", "ionbus.cli", "codegen", "saved", "--typescript", "ts", "--watch"]
    watching = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    took: list[float] = []
    try:
        while not made.exists():
            time.sleep(0.01)
        for number in range(saves):
            began = time.perf_counter()
            source.write_text(SAVED.format(number), encoding="utf-8")
            while f"Number {number}." not in made.read_text(encoding="utf-8"):
                time.sleep(0.002)
            took.append(time.perf_counter() - began)
    finally:
        watching.terminate()
        watching.wait(10)
    return took


if __name__ == "__main__":
    main()
