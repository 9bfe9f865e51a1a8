"""Everything that others wrote is shown harmlessly: on pages, in the terminal, in logs."""
