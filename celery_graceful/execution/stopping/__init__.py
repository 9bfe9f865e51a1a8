"""What ends an execution before its items do: a worker's stop, and limits."""
