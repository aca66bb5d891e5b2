"""What a page loads before it does anything: minified by esbuild and compressed by gzip, as it is served."""

import gzip
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import Record, record
from benchmarks.systems import System
from benchmarks.workloads.base import Effort

HERE = Path(__file__).parent.parent
PAGES = {
    "ionbus": 'export { connect } from "ionbus"; export { connectElectron } from "ionbus/electron-renderer";',
    "ionbus-all": 'export * from "ionbus"; export * from "ionbus/electron-renderer";',
    "ionbus-codec": 'export { decode, encode } from "../js-shim/dist/esm/wire/values.js";',
    "socket.io-client": 'export { io } from "socket.io-client";',
    "socket.io-client-msgpack": 'export { io } from "socket.io-client"; export * from "socket.io-msgpack-parser";',
    "wslink": 'export { default } from "wslink";',
}
"""What each needs to connect; `ionbus-all` is whatever a page may import of it."""
KILOBYTE = 1_000


class Bundle:
    name = "bundle"
    systems: tuple[str, ...] = ()

    def measure(self, systems: Sequence[System], effort: Effort) -> list[Record]:
        return [
            record(self.name, name, "", "size", "KB", [size(page) / KILOBYTE]) for name, page in PAGES.items()
        ]


def size(page: str) -> int:
    """Give the bytes that a page of this code loads."""
    esbuild = str(HERE.parent / "node_modules" / ".bin" / "esbuild")
    how = ("--bundle", "--minify", "--format=esm", "--platform=browser", "--log-level=error")
    done = subprocess.run([esbuild, *how], input=page.encode(), cwd=HERE, stdout=subprocess.PIPE, check=True)
    return len(gzip.compress(done.stdout, compresslevel=9, mtime=0))


BUNDLE = Bundle()
