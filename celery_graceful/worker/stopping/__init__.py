"""A worker's stop: the deadline, what still runs, and what is given back."""
