"""One module for each page; :mod:`celery_graceful.web` says how one is added."""
