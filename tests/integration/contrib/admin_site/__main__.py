"""Runs the tests of :mod:`.cases` by Django's own runner."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import sys

import django
from django.conf import settings
from django.core.management import call_command

HERE = __package__ or ""


def main() -> None:
    """Configure Django, run the tests, and exit with 1 if one failed."""
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django.contrib.staticfiles",
            "celery_graceful.contrib.django",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=f"{HERE}.urls",
        SECRET_KEY="for tests",
        STATIC_URL="static/",
        USE_TZ=True,
    )
    django.setup()
    call_command("test", f"{HERE}.cases", *sys.argv[1:])


if __name__ == "__main__":
    main()
