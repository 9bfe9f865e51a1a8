"""Fuzzers: whatever stands in the store, a message or a file, a decoder reads or refuses it."""
