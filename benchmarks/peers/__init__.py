"""What is compared: each with its server in Python and its client in JavaScript."""
