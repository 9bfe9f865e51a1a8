"""Settings of the shop. What differs between machines comes from environment variables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from celery.schedules import crontab

BASE_DIR = Path(__file__).resolve().parent.parent


def database(url: str | None) -> dict[str, Any]:
    """Django's form of ``postgresql://user:password@host:port/name``; SQLite without a URL."""
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("SQLITE_FILE", BASE_DIR / "shop.sqlite3"),
            # One writer at a time: others wait for up to 30 s, and readers wait for nobody.
            "OPTIONS": {
                "timeout": 30,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
            },
        }
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
    }


# -- Django ----------------------------------------------------------------------------------

DEBUG = os.environ.get("DEBUG", "1") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-trying-out")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "celery_graceful.contrib.django",
    "products",
    "customers",
    "orders",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"

DATABASES = {"default": database(os.environ.get("DATABASE_URL"))}

# For trying out: mails go into a file, and fail now and then, as they do on a real server.
EMAIL_BACKEND = os.environ.get("EMAIL_BACKEND", "shop.toy_mail.EmailBackend")
EMAIL_FILE = os.environ.get("EMAIL_FILE", BASE_DIR / "mails.txt")
DEFAULT_FROM_EMAIL = "shop@example.com"

# -- Celery ----------------------------------------------------------------------------------

#: The broker, the results, and (since nothing else is set) the runs of iterable tasks.
REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")

CELERY_BROKER_URL = REDIS_URL
CELERY_RESULT_BACKEND = REDIS_URL
CELERY_TIMEZONE = TIME_ZONE
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULE = {
    "nightly-statements": {
        "task": "shop.nightly_statements",
        "schedule": crontab(hour=2, minute=15),
    },
}

# -- the warehouse ---------------------------------------------------------------------------

#: The warehouse's database, as the far end of the tunnel sees it.
WAREHOUSE_URL = os.environ.get("WAREHOUSE_URL", "postgresql://shop@localhost:5432/warehouse")

#: What opens the tunnel. On a real network: ssh -N -L {port}:{host}:{remote} bastion
TUNNEL = os.environ.get(
    "TUNNEL", "socat TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork TCP:{host}:{remote}"
)
