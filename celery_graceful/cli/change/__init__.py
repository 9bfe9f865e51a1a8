"""The commands that change runs: the verbs, for one run or for many."""
