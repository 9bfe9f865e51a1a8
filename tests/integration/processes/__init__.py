"""Background processes, real ones, without Celery."""
