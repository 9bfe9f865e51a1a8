"""Celery applications that real workers load in the acceptance tests."""
