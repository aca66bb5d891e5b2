"""The event system: listeners and their lifetimes, names and patterns, the emitter made of them; filters and aggregation."""
