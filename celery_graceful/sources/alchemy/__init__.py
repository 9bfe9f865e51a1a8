"""What :func:`celery_graceful.sources.select` does with SQLAlchemy, which is imported here."""
