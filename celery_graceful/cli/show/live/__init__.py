"""Tables in a terminal that are drawn again and again."""
