"""What operators do to runs: the verbs, one run at a time or many."""
