"""Runs that a person or a deploy starts by hand: once, with bounds, and waited for."""
