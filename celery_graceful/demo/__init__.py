"""The demo: a run over real input that is stopped and killed on its way, and loses nothing."""
