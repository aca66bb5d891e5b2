"""Values, messages, frames and records to bytes and back (docs/protocol.md, sections 2.2, 3, 5 and 10)."""
