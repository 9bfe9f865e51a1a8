"""What runs in a worker's main process: the owner of the stop flag, and the keeper of its runs."""
