"""Where a run's checkpoints go: nowhere, to the store, to the task's own database."""
