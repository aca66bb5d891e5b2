"""The broker that the benchmark calls. With the argument `fingerprint` it tells its contract's."""

import sys

from pydantic import BaseModel

from ionbus import Broker, Call, Contract


class Reading(BaseModel):
    """A small payload, as most are."""

    name: str
    number: int
    values: list[float]


class Bench(Contract, name="bench", version="1.0"):
    """One call."""

    echo = Call(Reading, Reading)


broker = Broker(Bench)


@broker.handle(Bench.echo)
async def echo(reading: Reading) -> Reading:
    """Give back what came."""
    return reading


if __name__ == "__main__":
    if sys.argv[1:] == ["fingerprint"]:
        print(Bench.__contract__.fingerprint)
    else:
        broker.run()
