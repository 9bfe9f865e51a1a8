"""The workers of an app as a screen follows them, and what it may do with them."""
