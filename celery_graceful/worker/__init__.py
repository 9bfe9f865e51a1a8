"""What runs in a worker's main process: the stop flag, and the leases of its runs."""
