"""What moves frames: WebSocket, stdio, memory (docs/protocol.md, section 2)."""
