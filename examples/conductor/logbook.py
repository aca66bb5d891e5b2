"""The last lines of the log, and whoever reads along."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from contracts import LogLine
from ionbus.packs.workflow import LogLevel

KEPT_LINES = 500
RANKS = {level: rank for rank, level in enumerate(LogLevel)}


class LogBook:
    """Keeps the last lines in one ring. Each reader has only a position in it, so that a slow one costs nothing."""

    def __init__(self, kept_lines: int = KEPT_LINES) -> None:
        self._lines: deque[LogLine] = deque(maxlen=kept_lines)
        self._written = 0
        self._grown = asyncio.Event()

    def write(
        self,
        message: str,
        level: LogLevel = LogLevel.INFO,
        *,
        execution_id: str | None = None,
        node_id: str | None = None,
    ) -> None:
        """Add a line, and wake every reader."""
        at = datetime.now(UTC)
        self._lines.append(
            LogLine(at=at, level=level, message=message, execution_id=execution_id, node_id=node_id)
        )
        self._written += 1
        self._grown.set()
        self._grown = asyncio.Event()

    async def read(self, level: LogLevel = LogLevel.DEBUG) -> AsyncGenerator[LogLine, None]:
        """The lines that are kept, of `level` and above, then each new one, for ever.

        A reader that falls behind by more than the ring holds goes on with the oldest line that is left.
        """
        position = 0
        while True:
            position = max(position, self._written - len(self._lines))
            while position < self._written:
                oldest = self._written - len(self._lines)
                position = max(position, oldest)
                line = self._lines[position - oldest]
                position += 1
                if RANKS[line.level] >= RANKS[level]:
                    yield line
            await self._grown.wait()
