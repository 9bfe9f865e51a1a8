"""Messages: capturing, publishing, parking and broadcasting them."""
