"""The guardian: a small process beside each background process, which ends it in any case.

It runs ``run.py`` by its path, without ``site`` and without this package's own imports. What is in
this folder imports nothing but itself and what is built into Python: every module more would be a
millisecond at each start. It is never loaded into the owner, but for the names it shares.
"""
