"""The page of one run, and what its forms do."""
