"""For tests of applications: a broker and clients in memory, time under control, and channels that fail (docs/testing.md)."""

from ionbus.testing.clock import FakeClock as FakeClock
from ionbus.testing.faults import Direction as Direction, Faults as Faults, Injected as Injected
from ionbus.testing.faulty import (
    FaultyChannel as FaultyChannel,
    faulty as faulty,
    faulty_accept as faulty_accept,
)
from ionbus.testing.fixtures import PairFactory as PairFactory
from ionbus.testing.pair import Client as Client, Pair as Pair, pair as pair
from ionbus.testing.proxy import FaultProxy as FaultProxy, ProxyConnection as ProxyConnection
from ionbus.testing.recorded import Recorded as Recorded, Wanted as Wanted
from ionbus.testing.recorder import NotRecorded as NotRecorded, Recorder as Recorder, Recording as Recording
