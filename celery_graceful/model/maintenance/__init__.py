"""The maintenance mode: what is held, and for which queues and tasks."""
