"""Decisions of atomic runs."""
