"""Whoever connects to a broker: the bus, and the link that keeps its session alive."""
