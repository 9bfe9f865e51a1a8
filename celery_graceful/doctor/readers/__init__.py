"""Readers of the files that deploy workers; each keeps file and line of what it reads."""
