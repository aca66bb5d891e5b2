"""Where the tests of this folder find their broker, and what they ask the system about processes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

HERE = Path(__file__).parent
BACKEND = [sys.executable, str(HERE / "backend.py")]
BRISK_BACKEND = [*BACKEND, "brisk"]
RELAY = str(HERE / "relay.py")


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet collected does not."""
    with suppress(OSError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@asynccontextmanager
async def served_by_hand() -> AsyncIterator[tuple[str, str, int]]:
    """The brisk one on a WebSocket port of its own: its URL, token and process id."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IONBUS_")}
    process = await asyncio.create_subprocess_exec(
        *BACKEND,
        "ws://127.0.0.1:0",
        "brisk",
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            words = (await process.stderr.readline()).decode().split()
        assert words[:2] == ["ionbus:", "serving"], words
        yield words[2], words[4], process.pid
    finally:
        process.kill()
        await process.communicate()
