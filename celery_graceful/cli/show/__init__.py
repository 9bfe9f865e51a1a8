"""Commands that look at runs: a list, one run, live tables."""
