"""A form that starts an iterable task: made from its signature, read when it comes back."""
