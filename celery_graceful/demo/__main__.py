"""``python -m celery_graceful.demo``."""

from __future__ import annotations

from celery_graceful.demo.command import demo

if __name__ == "__main__":
    demo(prog_name="python -m celery_graceful.demo")
