"""The file that tells programs of the same user where a broker is and what lets them in, where no pipe can.

It holds a secret: the broker makes it readable by its own user alone, and clients refuse one that is not (docs/security.md).
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from ionbus.errors import ConnectionLost

MAX_BYTES: Final = 65_536
_NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)  # Windows has neither of the two
_NO_WAIT: Final[int] = getattr(os, "O_NONBLOCK", 0)


class EndpointFile:
    """A broker's file, from `write` to `remove`.

    Args:
        path: where; what is there is replaced, and a symbolic link itself rather than what it leads to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._written: tuple[int, int] | None = None  # device and inode

    def write(self, url: str, token: str | None) -> None:
        """Write the file as a whole, before anybody can read it.

        Raises:
            OSError: it cannot be written.
        """
        text = json.dumps({"url": url, "token": token, "pid": os.getpid()}) + "\n"
        unfinished = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            self._written = _write_own(unfinished, text)
            unfinished.replace(self.path)
        except OSError as error:  # whose text names a file that nobody has asked for
            why = f"the endpoint file cannot be written: {error.strerror}; name a file in a folder that exists and is yours"
            raise OSError(error.errno, why, os.fspath(self.path)) from error
        finally:
            unfinished.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file, unless another broker has put its own there."""
        with suppress(OSError):  # it has gone, or its folder: so has the secret
            status = self.path.lstat()
            if (status.st_dev, status.st_ino) == self._written:
                self.path.unlink()
        self._written = None


def read_endpoint_file(path: str | os.PathLike[str]) -> tuple[str, str | None]:
    """Give the URL and the token that a broker has written.

    Raises:
        ConnectionLost: there is no such file, others can read or write it, or it is none of a broker's.
    """
    where = os.fspath(path)
    try:
        text = _read_own(where)
    except ConnectionLost:  # which is an OSError too
        raise
    except FileNotFoundError:
        raise ConnectionLost(
            f"{where}: no broker has written its endpoint there; start one with --endpoint-file, or check the path"
        ) from None
    except OSError as error:
        what = "it is a symbolic link; name the file itself" if _is_link(where) else error.strerror
        raise ConnectionLost(f"{where}: the endpoint file cannot be read: {what}") from None
    try:
        found = json.loads(text)
        url, token = found["url"], found.get("token")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        url = token = None
    if not isinstance(url, str) or not isinstance(token, str | None):
        raise ConnectionLost(f"{where}: it holds no endpoint; a broker writes it, see --endpoint-file")
    return url, token


def _write_own(path: Path, text: str) -> tuple[int, int]:
    """Write a new file that nobody else can read; give its device and inode."""
    made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600)
    with os.fdopen(made, "w", encoding="utf-8") as file:
        if os.name == "posix":
            os.fchmod(made, 0o600)  # whatever the umask took away
        file.write(text)
        file.flush()
        status = os.fstat(made)
    return status.st_dev, status.st_ino


def _is_link(path: str) -> bool:
    """Whether a symbolic link is at a path."""
    return Path(path).is_symlink()


def _read_own(path: str) -> str:
    """Read a regular file of our own user that nobody else can touch; nothing is looked at twice, so that nothing changes between."""
    file = os.open(path, os.O_RDONLY | _NO_FOLLOW | _NO_WAIT)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise ConnectionLost(
                f"{path}: it is no regular file, as the one that a broker writes (--endpoint-file)"
            )
        if os.name == "posix":
            if status.st_uid != os.geteuid():
                raise ConnectionLost(
                    f"{path}: it belongs to the user with the id {status.st_uid} and not to you, who could send you anywhere; "
                    "take a path in a folder of your own"
                )
            if status.st_mode & 0o077:
                raise ConnectionLost(
                    f"{path}: others may read or write it (mode {stat.S_IMODE(status.st_mode):04o}), so that its token is no "
                    f"secret any more; start the broker anew, which makes it 0600"
                )
        return os.read(file, MAX_BYTES).decode("utf-8", "replace")
    finally:
        os.close(file)
