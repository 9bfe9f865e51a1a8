"""Runs across stores and brokers, without a worker."""
