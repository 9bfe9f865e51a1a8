"""Where the records of runs live. Stores decide nothing: they compare and set."""
