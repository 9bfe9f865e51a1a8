"""Maintenance in a worker: watching the mode, the gate, and what it reports."""
