"""The stores, on real servers."""
