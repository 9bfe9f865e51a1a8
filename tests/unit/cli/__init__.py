"""``celery graceful``: what operators type, against a real store, without a worker."""
