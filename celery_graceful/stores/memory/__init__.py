"""Records of runs in the memory of one process."""
