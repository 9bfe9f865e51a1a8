"""Commands that operate runs: start, wait, pause, resume and the other verbs."""
