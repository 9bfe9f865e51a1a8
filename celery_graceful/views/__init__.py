"""Runs, workers and the maintenance mode as plain data: what every ``--json`` is made of."""
