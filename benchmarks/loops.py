"""Which event loop a server runs on, and what it finds installed."""

import asyncio
import sys

LOOPS = ("uvloop", "asyncio")


def use_loop(name: str) -> None:
    """Let every loop of this process be of that kind. Called before anything is imported that looks for uvloop itself."""
    if name == "asyncio":
        hide("uvloop")
    else:
        import uvloop  # noqa: PLC0415 - not everywhere

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def hide(module: str) -> None:
    """Let importing it fail, as where it is not installed."""
    sys.modules[module] = None  # type: ignore[assignment] # which is how Python does it
