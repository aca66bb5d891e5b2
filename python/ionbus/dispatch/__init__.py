"""One side of a session above the wire: requests, answers, listeners and what user code gets. The same for broker and client."""
