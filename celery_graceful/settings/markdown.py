"""The table of settings as the reference shows it."""

from __future__ import annotations

from celery_graceful.settings.setting_table import SETTINGS


def table_markdown() -> str:
    """The table of all settings in Markdown, for the reference."""
    lines = ["| Setting | Default | Expected | Meaning |", "|---|---|---|---|"]
    for line in SETTINGS.values():
        cells = (f"`{line.name}`", line.default_text, line.expected, line.meaning)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
