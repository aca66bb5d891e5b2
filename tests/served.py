"""A broker of the pages, served by the command that they name."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent


@contextmanager
def served(folder: Path, broker: str = "app:broker") -> Iterator[dict[str, str]]:
    """Run it in `folder`; gives what a shell would have exported, IONBUS_URL and IONBUS_TOKEN."""
    process = subprocess.Popen(
        [str(BIN / "ionbus"), "serve", broker, "--ws", "127.0.0.1:0"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"serving (\S+)\s+token (\S+)", line)
        assert found, line + process.stderr.read()
        yield {"IONBUS_URL": found[1], "IONBUS_TOKEN": found[2]}
    finally:
        process.terminate()
        process.wait(20)
        process.stderr.close()
