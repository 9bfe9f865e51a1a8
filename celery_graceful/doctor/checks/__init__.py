"""The checks: pure functions over facts, a file for each subject."""
