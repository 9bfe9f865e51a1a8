"""Celery beat during maintenance."""
