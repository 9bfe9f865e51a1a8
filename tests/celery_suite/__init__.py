"""Celery's own integration tests, with ``Graceful(app)`` installed and without, test by test.

``python -m tests.celery_suite`` fetches the tests of a Celery release, runs them on servers of its
own, and compares the outcomes. It changes nothing in the fetched files: ``installer/`` installs the
plugin in each app that a test or a program of a test creates, ``recorder/`` writes down outcomes.
"""
