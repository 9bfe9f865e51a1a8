"""The screen as a WSGI application, and a server for it."""
