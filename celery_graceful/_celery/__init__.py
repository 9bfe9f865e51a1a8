"""All that is private to Celery, kombu and billiard; tried on Celery 5.5, 5.6 and 5.7.

No other room touches what these libraries do not document. This one takes callables and values,
and knows the leaves of the package alone: errors, forks, text.
"""
