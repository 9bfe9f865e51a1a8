"""Listings of runs, by tabs and filters, in pages that stand still."""
