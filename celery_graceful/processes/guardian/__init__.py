"""The guardian: a small process beside each background process, which ends it in any case.

It runs ``run.py`` by its path, without ``site`` and without the packages around this folder. The
modules here import each other and what is built into Python, nothing else: each more costs a
millisecond at every start. The owner imports constants and the framing from here.
"""
