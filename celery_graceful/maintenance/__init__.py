"""Maintenance mode: changing it, and knowing which workers have acknowledged it."""
