"""A run: its record, the events that change it, and the rules that decide."""
