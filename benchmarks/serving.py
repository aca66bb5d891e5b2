"""A server's process: how it tells where it is, and when it ends."""

import argparse
import asyncio
import json
import os
import threading

from benchmarks.loops import LOOPS, hide, use_loop


def options() -> argparse.Namespace:
    """Read the command line that every server has; choose the loop, and hide what is not to be found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", choices=LOOPS, default="uvloop")
    parser.add_argument("--channel", choices=("websocket", "stdio", "http2"), default="websocket")
    parser.add_argument("--serializer", default="default")
    parser.add_argument("--hide", action="append", default=[], metavar="MODULE")
    chosen = parser.parse_args()
    for module in chosen.hide:
        hide(module)
    use_loop(chosen.loop)
    return chosen


def announce(url: str, token: str | None = None) -> None:
    """Tell the parent where to connect."""
    print(json.dumps({"url": url, "token": token}), flush=True)


async def until_parent_ends() -> None:
    """Wait until standard input is closed; then the process ends, whatever it does."""
    threading.Thread(target=_lifeline, daemon=True).start()
    await asyncio.Event().wait()


def _lifeline() -> None:
    while os.read(0, 65536):
        pass
    os._exit(0)
