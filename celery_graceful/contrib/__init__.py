"""Parts that belong to another framework, each imported by its users only."""
