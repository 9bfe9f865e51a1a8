"""The doctor on public deployment files, which are listed here and fetched by those who want to."""
