"""Compressed files that can be read from their middle."""
