"""Runs a program, and carries its input and output in pieces that have nothing to do with what is in them.

`python relay.py PROGRAM ARGUMENT …`
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading


def carry(source: int, target: int) -> None:
    size = 1
    while chunk := os.read(source, 65_536):
        while chunk:
            os.write(target, chunk[:size])
            chunk, size = chunk[size:], size % 499 + 1
    os.close(target)


if __name__ == "__main__":
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert program.stdin is not None
    assert program.stdout is not None
    threading.Thread(target=carry, args=(0, program.stdin.fileno()), daemon=True).start()
    carry(program.stdout.fileno(), 1)
