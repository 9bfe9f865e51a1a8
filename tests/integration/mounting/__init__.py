"""The screen within other applications, each on a server that people use."""
