"""The example project in use: its commands and workers, and the story that the demo shows."""
