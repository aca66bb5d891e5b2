"""What both sides agree on: contracts, their members, and the payloads that cross."""
