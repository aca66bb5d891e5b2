"""Keeps descriptors from processes that are forked and execute nothing new, as multiprocessing does it: `O_CLOEXEC` says nothing to them.

Such a process would hold a broker's pipe open when its parent has died, and the broker would not notice.
"""

from __future__ import annotations

import os

_kept: set[int] = set()


def keep_from_forks(descriptor: int) -> None:
    """Let no forked process have this one; call `release` before it is closed."""
    _kept.add(descriptor)


def release(descriptor: int) -> None:
    """It will be closed, and its number used again."""
    _kept.discard(descriptor)


def _forked() -> None:
    """In the new process. The numbers stay taken: objects that believe to own them may still close them."""
    if _kept:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in _kept:
            os.dup2(null, descriptor, inheritable=False)
        os.close(null)
        _kept.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
