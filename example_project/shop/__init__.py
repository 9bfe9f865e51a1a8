"""Airfield Prints: a shop that sells a poster of every airport in the world."""

from __future__ import annotations

from shop.celery import app as celery_app

__all__ = ["celery_app"]
