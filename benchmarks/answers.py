"""What a client's process answers: a line of JSON for each run, in time."""

import json
import threading
from collections.abc import Callable
from subprocess import Popen
from typing import Any

LONGEST_RUN = 60.0
"""Seconds, before a run counts as hung."""


class RunFailed(Exception):
    """A run of a system has gone wrong; says what it said."""


def read_answer(process: Popen[str], who: str, kill: Callable[[], None]) -> dict[str, Any]:
    """Wait for the next one.

    Args:
        process: answers on its standard output.
        who: what a failure is told of.
        kill: ends it where it takes too long.

    Raises:
        RunFailed: it says so, or has ended.
    """
    assert process.stdout is not None
    timer = threading.Timer(LONGEST_RUN, kill)
    timer.start()
    try:
        line = process.stdout.readline()
    finally:
        timer.cancel()
    answer: dict[str, Any] = json.loads(line) if line else {"error": "its client has ended"}
    if "error" in answer:
        raise RunFailed(f"{who}: {answer['error']}")
    return answer
