"""Command lines and texts for a shell: which workers they start, and what is in between."""
