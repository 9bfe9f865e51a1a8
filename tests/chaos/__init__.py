"""A chaos run: real workers, random faults, and a verdict on what became of every item.

``python -m tests.chaos --help``, or ``make chaos``.
"""
