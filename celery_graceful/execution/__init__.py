"""One execution of a run: the loop, its checkpoints, and every way it ends."""
