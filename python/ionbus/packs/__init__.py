"""Contracts that applications share (docs/packs.md): `ionbus.packs.workflow` and `ionbus.packs.ui`."""
