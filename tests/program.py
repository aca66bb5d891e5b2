"""`ionbus`, the program, run in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import Any

IONBUS = [sys.executable, "-m", "ionbus.cli"]


@dataclass
class Done:
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


async def ionbus(*arguments: str, **environment: str) -> Done:
    """Run the program beside the broker that this test serves."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IONBUS_")}
    process = await asyncio.create_subprocess_exec(
        *IONBUS,
        *arguments,
        env={**kept, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())
