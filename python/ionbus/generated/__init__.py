"""Written by `make generate` from `schemas/`."""
