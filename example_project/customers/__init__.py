"""Whom it sells to."""
