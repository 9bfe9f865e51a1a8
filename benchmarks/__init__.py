"""What the plugin costs, measured side by side with what runs without it.

``python -m benchmarks`` measures everything; see ``python -m benchmarks --help``.
"""
