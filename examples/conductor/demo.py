"""Builds the conductor and opens its window; `make demo` calls this.

Where there is no screen, it plays through the window under Xvfb instead, saves build/demo/*.png, and says what it saw.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

CONDUCTOR = Path(__file__).resolve().parent
ROOT = CONDUCTOR.parents[1]
ELECTRON_RUNTIME = ROOT / "tools" / "electron_runtime.py"
PICTURES = ROOT / "build" / "demo"


class Missing(Exception):
    """The demo cannot start; the message says what is missing."""


def main() -> int:
    try:
        node, electron = find_node(), find_electron()
        check_packages()
        environment = {**os.environ, "IONBUS_ELECTRON": electron, "IONBUS_PYTHON": sys.executable}
        built = run([node, str(CONDUCTOR / "build.mjs")], environment)
        if built != 0:
            return built
        if has_screen():
            print("Opening the window. Close it to end.", flush=True)
            return run([electron, *switches(), str(CONDUCTOR)], environment)
        print("There is no screen here: playing through the window under Xvfb.", flush=True)
        screen = [find("xvfb-run"), "-a", "-s", "-screen 0 1280x1024x24"]
        return run([*screen, node, str(CONDUCTOR / "play.mjs"), str(PICTURES), *switches()], environment)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end. Ctrl-C reaches it too; it gets some time to tidy up."""
    with subprocess.Popen(command, env=environment) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.terminate()
            raise


def find(command: str) -> str:
    found = shutil.which(command)
    if found is None:
        raise Missing(f"{command} is not here: `make demo` gets it")
    return found


def find_node() -> str:
    """Node.js: the one beside this Python, where `make` puts it, or the machine's."""
    beside = shutil.which("node", path=str(Path(sys.executable).parent))
    return beside or find("node")


def find_electron() -> str:
    """What IONBUS_ELECTRON names, or what tools/electron_runtime.py finds."""
    named = os.environ.get("IONBUS_ELECTRON")
    if named:
        return named
    found = subprocess.run(
        [sys.executable, str(ELECTRON_RUNTIME)], stdout=subprocess.PIPE, text=True, check=False
    )
    if found.returncode != 0:
        raise Missing("There is no Electron to show the window with.")
    return found.stdout.strip()


def check_packages() -> None:
    missing = [name for name in ("ionbus", "PIL") if importlib.util.find_spec(name) is None]
    if missing or not (ROOT / "js-shim" / "dist").is_dir():
        raise Missing("The demo needs what `make setup` installs and builds: start it with `make demo`.")


def has_screen() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def switches() -> list[str]:
    """What Chromium asks for where it runs as root; nowhere else is its sandbox taken away."""
    if sys.platform == "linux" and os.geteuid() == 0:
        return ["--no-sandbox", "--disable-gpu"]
    return []


if __name__ == "__main__":
    sys.exit(main())
