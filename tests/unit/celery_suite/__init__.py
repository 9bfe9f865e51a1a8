"""The comparison with Celery's own tests, on outcomes that are made up."""
