"""Atomic runs against real databases."""
