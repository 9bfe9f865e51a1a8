"""The doctor: facts in, findings out; no server, no process."""
