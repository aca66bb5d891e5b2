"""Programs that come inside wheels: fetched once, checked against a locked hash, kept outside the repository."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/ionbus`, or `~/.cache/ionbus`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ionbus"


def say(text: str) -> None:
    """Progress goes to stderr: stdout is for the answer."""
    print(text, file=sys.stderr, flush=True)


def fetch(name: str, prepare: Callable[[Path, Path], None], *inputs: Path) -> Path:
    """The folder that `prepare(unpacked, target)` made of the wheel which `requirements/<name>.txt` locks.

    It is made once for each content of that lock and of `inputs`, and appears whole or not at all, so that several
    processes may ask at the same time.
    """
    lock = REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in (lock, *inputs))).hexdigest()[:12]
    target = cache_folder() / f"{name}-{digest}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as folder:
        unpacked, prepared = Path(folder, "unpacked"), Path(folder, "prepared")
        say(f"fetching {name} (once, into {target})")
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
        install += [
            "--disable-pip-version-check",
            "--no-compile",
            "--no-cache-dir",
            "--root-user-action",
            "ignore",
        ]
        subprocess.run([*install, "--require-hashes", "-r", lock, "--target", unpacked], check=True)
        prepare(unpacked, prepared)
        try:
            prepared.rename(target)
        except OSError:  # another process was first
            if not target.is_dir():
                raise
    say(f"{name} is ready")
    return target


def move(source: Path, target: Path) -> None:
    """Like `mv`, and the parent folder of `target` is made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)
