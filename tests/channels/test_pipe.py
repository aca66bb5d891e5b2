"""A pair of byte pipes: reading may be paused, on the event loop and on a thread."""

import asyncio
import os

import pytest

from ionbus.channels.pipe import READ_BYTES, BytePipe, open_pipe
from workshop import eventually


class Reader:
    """Counts what comes."""

    def __init__(self, *, is_paused: bool) -> None:
        self.pipe: BytePipe | None = None
        self.count = 0
        self.end = ""
        self.is_paused = is_paused

    def opened(self, pipe: BytePipe) -> None:
        self.pipe = pipe
        if self.is_paused:
            pipe.pause_reading()

    def received(self, chunk: bytes) -> None:
        self.count += len(chunk)

    def writable(self) -> None:
        pass

    def ended(self, reason: str) -> None:
        self.end = reason


@pytest.mark.parametrize("threads", [False, True], ids=["loop", "thread"])
@pytest.mark.parametrize("is_paused", [False, True], ids=["later", "from the start"])
async def test_a_paused_pipe_takes_no_more(threads: bool, is_paused: bool) -> None:
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    reader = Reader(is_paused=is_paused)
    await open_pipe(theirs_in, theirs_out, reader, threads=threads)
    assert reader.pipe is not None
    if not is_paused:
        os.write(ours_out, b"x")
        await eventually(lambda: reader.count == 1)
        reader.pipe.pause_reading()
    os.set_blocking(ours_out, False)
    written, refused = 0, 0
    while refused < 10:  # a thread that is reading already brings one more chunk
        try:
            written += os.write(ours_out, bytes(READ_BYTES))
            refused = 0
        except BlockingIOError:
            refused += 1
            await asyncio.sleep(0.01)
    before = reader.count
    assert before <= 1 + READ_BYTES
    reader.pipe.resume_reading()
    await eventually(lambda: reader.count >= written)
    os.close(ours_out)
    await eventually(lambda: reader.end == "end of file on the input")
    os.close(ours_in)
    reader.pipe.close()
    await reader.pipe.wait_closed()
