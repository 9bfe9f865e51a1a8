"""The package that the models' registry takes for an installed one."""
