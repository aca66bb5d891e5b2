"""Everything that a session promises, without I/O, clock or randomness of its own (docs/protocol.md, sections 4 to 8)."""
