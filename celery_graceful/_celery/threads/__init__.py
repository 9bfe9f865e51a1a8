"""Real threads, also under gevent, and exceptions raised in them."""
