"""What events are made of beside their contract: filters, aggregation."""
