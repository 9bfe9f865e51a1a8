"""Template tags: ``{% load celery_graceful %}``."""
