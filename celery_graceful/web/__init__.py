"""The web screen: pages, routes and safety, without a framework.

``Screen(app, options).answer(Request(...))`` is all of it: :mod:`.dispatch` finds the route, checks
who asks and from where, and calls a page. Shells turn a server's requests into these:
``web/shell/`` (WSGI, with Werkzeug) and ``contrib/django/``.

To add a page:

1. ``web/pages/NAME_page.py`` with ``def page(context: Context) -> Response``. It reads
   ``context.request.query`` or ``.form``, calls the public API (``context.runs``,
   ``context.maintenance``) and returns ``context.render("NAME.html", value=…)``. What is read from
   the store for a ``GET`` goes through ``context.snapshot(key, seconds, make)``: it is shared by
   all viewers, so that an open page costs the store at most one call a second.
2. ``web/templates/NAME.html`` that extends ``base.html`` and fills the blocks ``title`` and
   ``main``. Every value is escaped, also control characters and marks that turn the direction of
   text; ``{% import "macros.html" as ui with context %}`` has moments, progress bars and the hidden
   fields that each ``<form method="post">`` needs: ``{{ ui.token() }}``.
3. A line in :data:`.ROUTES`: method, path, page, the permission it needs, and its name in the
   navigation.
4. A page that changes something answers ``POST`` with ``context.redirect(path, "Done: …")``, or
   with the page again and the errors at their fields (status 422). The checks against cross-site
   requests and the permission were made before it is called.
5. A page depends on nothing that changes by itself, such as the time now: the browser computes ages
   from ``<time>`` elements. So a poll is answered with 304 until something has happened.

Errors of this package that a page does not catch become pages of their own
(:mod:`.pages.failure`).
"""
