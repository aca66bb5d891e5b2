"""Contracts that ship with ionbus; import them from `ionbus.packs`."""
