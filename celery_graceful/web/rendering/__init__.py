"""From values to HTML: the templates, and how each kind of value is shown."""
