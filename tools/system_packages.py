"""Sees to what is needed of a Debian-like system.

    system_packages.py venv      what `python -m venv` needs
    system_packages.py screen    what Electron and Chromium need: a virtual screen, shared libraries, a browser

As root with apt it installs what is missing. Otherwise it prints the command that does, and exits 1.
"""

import argparse
import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence


def has_library(name: str) -> bool:
    """Whether the dynamic linker finds it."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def has_program(name: str) -> bool:
    return shutil.which(name) is not None


def has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


Needs = Mapping[str, tuple[Callable[[str], bool], Sequence[str]]]
"""What is looked for, how, and the packages that bring it: of these the first that the system knows is taken."""

NEEDS: Mapping[str, Needs] = {
    "venv": {
        "ensurepip": (has_module, ("python3-venv",)),
    },
    "screen": {
        "Xvfb": (has_program, ("xvfb",)),
        "xauth": (has_program, ("xauth",)),
        "chromium": (has_program, ("chromium",)),
        "libgtk-3.so.0": (has_library, ("libgtk-3-0t64", "libgtk-3-0")),
        "libnss3.so": (has_library, ("libnss3",)),
        "libasound.so.2": (has_library, ("libasound2t64", "libasound2")),
        "libgbm.so.1": (has_library, ("libgbm1",)),
    },
}


def missing(needs: Needs) -> Needs:
    return {name: (is_there, packages) for name, (is_there, packages) in needs.items() if not is_there(name)}


def is_known(package: str) -> bool:
    """Whether apt has a version of `package` to install."""
    policy = subprocess.run(
        ["apt-cache", "policy", package], capture_output=True, text=True, check=False
    ).stdout
    return "Candidate:" in policy and "Candidate: (none)" not in policy


def choose(wanted: Needs) -> list[str]:
    return sorted(
        {next((p for p in packages if is_known(p)), packages[-1]) for _, packages in wanted.values()}
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("purpose", choices=NEEDS)
    needs = NEEDS[parser.parse_args().purpose]
    if sys.platform != "linux":
        return 0
    wanted = missing(needs)
    if not wanted:
        return 0
    print(f"missing on this system: {', '.join(wanted)}", flush=True)
    if shutil.which("apt-get") is None:
        print("install what brings them with your system's package manager", file=sys.stderr)
        return 1
    if os.geteuid() != 0:
        by_hand = f"sudo apt-get install --no-install-recommends {' '.join(choose(wanted))}"
        command = f"sudo apt-get update && {by_hand}"
        print(f"as root, or with sudo, run:\n\n    {command}\n", file=sys.stderr)
        return 1
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    print("apt-get update", flush=True)
    subprocess.run(["apt-get", "update", "-qq"], env=environment, check=True)
    packages = choose(wanted)
    print(f"apt-get install {' '.join(packages)}", flush=True)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    subprocess.run(install, env=environment, check=True, stdout=subprocess.DEVNULL)
    still = missing(wanted)
    if still:
        print(f"still missing: {', '.join(still)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
