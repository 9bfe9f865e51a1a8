"""A Django project with the screen beside it, as gunicorn serves it."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from tests.integration.mounting.screen import make_screen

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY="for tests")
django.setup()

urlpatterns = [path("", lambda request: HttpResponse(f"the shop at {request.path}"))]
application = DispatcherMiddleware(get_wsgi_application(), {"/ops": make_screen()})
