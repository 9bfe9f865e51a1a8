"""Maintenance mode: changing it, and knowing who has heard of it."""
