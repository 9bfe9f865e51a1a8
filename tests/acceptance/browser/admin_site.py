"""A Django project whose admin has the runs of the shop: ``python -m … PORT FILE``."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import sys

import django
from django.conf import settings

from tests.acceptance.apps.screened import app
from tests.acceptance.browser.shop import PASSWORD, USER
from tests.servers.process import HOST


def main(port: str, file: str) -> None:
    """Make the site's tables and its user, and serve it."""
    settings.configure(
        ALLOWED_HOSTS=[HOST],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": file}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        DEBUG=True,  # it serves the admin's stylesheets
        INSTALLED_APPS=[
            *(f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages")),
            *("django.contrib.sessions", "django.contrib.staticfiles"),
            "celery_graceful.contrib.django",
        ],
        MIDDLEWARE=[
            "tests.acceptance.browser.admin_urls.strict_policy",
            "django.contrib.sessions.middleware.SessionMiddleware",
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
        ROOT_URLCONF="tests.acceptance.browser.admin_urls",
        SECRET_KEY="for tests",
        STATIC_URL="/static/",
        USE_TZ=True,
    )
    app.set_default()
    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    get_user_model().objects.create_superuser(USER, "", PASSWORD)
    call_command("runserver", f"{HOST}:{port}", use_reloader=False, skip_checks=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
