"""Task classes, Celery's tracer around them, and the result backends they write to."""
