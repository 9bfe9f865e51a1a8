"""Migrations of the tables of ``django://`` stores."""
