"""The life of runs across workers: admission, checkpoints, hand-over, rescue."""
