"""Which event loop a server runs on."""

import asyncio
import sys

LOOPS = ("uvloop", "asyncio")


def use_loop(name: str) -> None:
    """Let every loop of this process be of that kind. Called before anything is imported that looks for uvloop itself."""
    if name == "asyncio":
        sys.modules["uvloop"] = None  # type: ignore[assignment] # so that importing it fails: for who would find it there
    else:
        import uvloop  # noqa: PLC0415 - not everywhere

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
