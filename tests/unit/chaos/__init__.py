"""The chaos run's own verdict, on evidence that is made up."""
