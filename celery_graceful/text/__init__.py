"""Text for people and programs: safe to show, masked, measured, parsed."""
