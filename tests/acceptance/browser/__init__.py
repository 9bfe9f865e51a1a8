"""The screen in a real browser, with real workers and a real store."""
