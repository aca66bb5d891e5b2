"""A deterministic simulation of clients and a broker: one seed, one run, and each failure is cut down to a few steps.

The engines are those that run in production; all around them is simulated: channels, time, chance, applications. What
they do is checked at every step against an independent account of what was sent (`ledger`), and against their own
accounts (`audit`).
"""

from __future__ import annotations

from ionbus.testing.simulator.broken import Broken
from ionbus.testing.simulator.plan import Plan, Quality, Step, draw
from ionbus.testing.simulator.record import as_vector
from ionbus.testing.simulator.shrink import shrink
from ionbus.testing.simulator.simulation import Simulation

__all__ = ["Broken", "Plan", "Quality", "Simulation", "Step", "as_vector", "draw", "shrink"]
