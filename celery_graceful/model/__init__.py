"""What a run is and what may happen to it: pure functions and values, no I/O, no clock."""
