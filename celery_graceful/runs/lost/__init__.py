"""What was lost on the way, and is made good: owners, messages, records."""
