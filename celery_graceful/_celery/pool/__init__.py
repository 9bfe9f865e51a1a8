"""Pools and their processes: children, signals, the event loop while a worker stops."""
