"""The process that serves contracts: its endpoints, its sessions, and its life as a program."""
