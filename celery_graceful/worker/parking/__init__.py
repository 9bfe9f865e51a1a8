"""Messages that may not start on this worker: parked, and sent back later."""
