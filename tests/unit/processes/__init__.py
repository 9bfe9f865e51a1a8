"""What is decided about background processes, without any."""
