"""Commands that show runs: a list, one run, live tables."""
