"""How long a worker has between the stop signal and SIGKILL."""
