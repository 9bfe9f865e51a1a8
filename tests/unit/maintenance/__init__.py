"""The maintenance mode from outside of the workers: changing it, waiting for it."""
