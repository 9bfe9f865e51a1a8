"""Command lines and texts for a shell: which workers they start, and what stands in between."""
