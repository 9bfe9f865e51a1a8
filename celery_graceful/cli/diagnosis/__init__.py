"""``graceful doctor``: what is wrong with a deployment, as people read it."""
