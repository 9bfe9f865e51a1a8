"""The screen in the admin, by Django's test client: who may do what, and what is refused."""

# mypy: disable-error-code="misc, no-untyped-call, untyped-decorator"
from __future__ import annotations

import re
from typing import Any

from celery import Celery
from django.contrib.auth.models import Group, Permission, User
from django.template import Context, Template
from django.test import Client, TestCase, override_settings

from celery_graceful import Graceful
from celery_graceful.contrib.django.run_links import run_tag
from celery_graceful.runtime import runtime_of
from tests.unit.web.scene import TASK, begin, make_app, save

BASE = "/back-office/celery_graceful/run/"
#: What a strict policy of the project would not allow.
INLINE = r"<script(?! src)|<style|\sstyle=|\son\w+=|(?:href|src|action)=\"(?!/|\?|#)"
HOSTILE = "<script>alert(1)</script>\"'\x1b[31m\u202e"


class AdminCase(TestCase):
    """A project with one run under way."""

    def setUp(self) -> None:
        self.app = make_app()
        self.app.set_default()
        self.app.set_current()
        self.addCleanup(self.app.close)
        self.runs = Graceful(self.app).runs
        self.runtime = runtime_of(self.app)
        self.fence = begin(self.runtime, "run-1")
        save(self.runtime, "run-1", self.fence)

    def user(self, *can: str, staff: bool = True, name: str = "ann") -> User:
        user = User.objects.create_user(name, is_staff=staff)
        for each in can:
            user.user_permissions.add(Permission.objects.get(codename=each))
        return user

    def browser(self, *can: str, **options: Any) -> Client:
        client = Client(**options)
        client.force_login(self.user(*can))
        return client

    def done(self, id: str = "run-1") -> list[str]:
        return [str(action.verb) for action in self.runs.get(id).actions]


class Pages(AdminCase):
    def test_the_index_has_runs_for_those_who_may_see_them(self) -> None:
        index = self.browser("view_run").get("/back-office/").content.decode()
        assert "Celery runs" in index
        assert f'href="{BASE}"' in index
        nobody = Client()
        nobody.force_login(self.user(name="bob"))
        assert "Celery runs" not in nobody.get("/back-office/").content.decode()

    def test_the_pages_have_the_look_of_the_admin(self) -> None:
        browser = self.browser("view_run")
        for path in ("", "runs/run-1"):
            answer = browser.get(BASE + path)
            page = answer.content.decode()
            assert answer.status_code == 200, page
            assert 'id="user-tools"' in page
            assert 'class="breadcrumbs"' in page
            assert f"{BASE}static/admin.css?v=" in page
            assert "shop.reindex" in page
            # What the project's policy says holds, and nothing here needs more than 'self'.
            assert "Content-Security-Policy" not in answer
            ours = page[page.index('<div class="graceful">') :]
            assert not re.search(INLINE, ours)
        assert re.search(r"<title>[^<]*run-1[^<]* \| Django site admin</title>", page)

    def test_the_other_pages_are_there_too(self) -> None:
        browser = self.browser("view_run", "start_run", "maintain_run")
        shown = {
            "start": TASK,
            f"start?task={TASK}": "start-form",
            "maintenance": "Begin maintenance",
            "workers": "Doctor",
            "processes": "Background processes",
        }
        for path, part in shown.items():
            answer = browser.get(BASE + path)
            page = answer.content.decode()
            assert answer.status_code == 200, page
            assert 'id="user-tools"' in page
            ours = page[page.index('<div class="graceful">') :]
            assert part in ours
            assert not re.search(INLINE, ours), path

    def test_static_files_need_no_login(self) -> None:
        for name, kind in (("admin.css", "text/css"), ("graceful.js", "text/javascript")):
            answer = Client().get(f"{BASE}static/{name}")
            assert answer.status_code == 200
            assert answer["Content-Type"].startswith(kind)
        assert Client().get(f"{BASE}static/../urls.py").status_code == 404

    def test_a_poll_is_answered_with_304_until_something_happens(self) -> None:
        browser = self.browser("view_run")
        poll = {"HTTP_X_GRACEFUL_POLL": "1"}
        first = browser.get(BASE, **poll)
        assert b"user-tools" not in first.content
        assert b"<title>Runs | Django site admin</title>" in first.content
        again = browser.get(BASE, HTTP_IF_NONE_MATCH=first["ETag"], **poll)
        assert (again.status_code, again.content) == (304, b"")
        # A person who loads the page gets all of it.
        loaded = browser.get(BASE, HTTP_IF_NONE_MATCH=first["ETag"])
        assert loaded.status_code == 200
        assert "no-store" in loaded["Cache-Control"]
        browser.logout()
        assert browser.get(BASE, **poll).status_code == 401

    def test_there_is_no_such_page_or_run(self) -> None:
        browser = self.browser("view_run")
        for path in ("runs/run-2", "nothing", "login"):
            answer = browser.get(BASE + path)
            assert answer.status_code == 404, path
            assert b'id="user-tools"' in answer.content


class Rights(AdminCase):
    def test_without_a_login_there_is_the_admins(self) -> None:
        for path in ("", "runs/run-1"):
            answer = Client().get(BASE + path)
            self.assertRedirects(answer, f"/back-office/login/?next={BASE}{path}")
        not_staff = Client()
        not_staff.force_login(self.user("view_run", staff=False))
        assert not_staff.get(BASE).status_code == 302

    def test_each_permission_allows_its_own(self) -> None:
        every = ("view_run", "operate_run", "start_run", "maintain_run")
        asked = {
            "operate_run": ("do", {"id": f"{TASK}[run-1]", "verb": "pause", "one": "yes"}),
            "start_run": ("start", {"task": TASK}),
            "maintain_run": ("maintenance/up", {}),
        }
        for number, granted in enumerate([(), *((each,) for each in every), every]):
            browser = Client()
            browser.force_login(self.user(*granted, name=f"user{number}"))
            seen = browser.get(BASE).status_code
            assert seen == (200 if "view_run" in granted else 403), granted
            for needed, (path, form) in asked.items():
                if self.page_is_there(path):
                    status = browser.post(BASE + path, form).status_code
                    assert (status == 403) == (needed not in granted), (granted, path, status)
        assert self.done() == ["pause"]

    @staticmethod
    def page_is_there(path: str) -> bool:
        from celery_graceful.web import routes

        return isinstance(routes.find("POST", f"/{path}"), routes.Match)

    def test_the_action_log_has_the_user(self) -> None:
        browser = self.browser("view_run", "operate_run")
        form = {"id": f"{TASK}[run-1]", "verb": "pause", "one": "yes", "reason": "a look at it"}
        answer = browser.post(f"{BASE}do", {**form, "back": "/runs/run-1"}, follow=True)
        assert answer.redirect_chain == [(f"{BASE}runs/run-1", 303)]
        assert b'class="message is-done"' in answer.content
        done = self.runs.get("run-1").actions[-1]
        assert (done.who, done.reason) == ("ann", "a look at it")
        # The message is shown once.
        assert b'class="message is-done"' not in browser.get(BASE).content


class Refused(AdminCase):
    def form(self) -> dict[str, str]:
        return {"id": f"{TASK}[run-1]", "verb": "pause", "one": "yes"}

    def test_forms_need_djangos_token(self) -> None:
        browser = self.browser("view_run", "operate_run", enforce_csrf_checks=True)
        assert browser.post(f"{BASE}do", self.form()).status_code == 403
        page = browser.get(f"{BASE}runs/run-1").content.decode()
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[-1]
        wrong = {**self.form(), "csrfmiddlewaretoken": token[::-1]}
        assert browser.post(f"{BASE}do", wrong).status_code == 403
        assert self.done() == []
        right = {**self.form(), "csrfmiddlewaretoken": token}
        assert browser.post(f"{BASE}do", right).status_code == 303
        assert self.done() == ["pause"]

    def test_other_sites_and_hosts(self) -> None:
        browser = self.browser("view_run", "operate_run")
        for headers in (
            {"HTTP_SEC_FETCH_SITE": "cross-site"},
            {"HTTP_SEC_FETCH_SITE": "same-site"},
            {"HTTP_ORIGIN": "https://evil.example"},
            {"HTTP_ORIGIN": "null"},
        ):
            answer = browser.post(f"{BASE}do", self.form(), **headers)
            assert answer.status_code == 403, headers
        assert browser.get(BASE, HTTP_HOST="evil.example").status_code == 400
        assert self.done() == []

    @override_settings(USE_X_FORWARDED_HOST=True, ALLOWED_HOSTS=["shop.example"])
    def test_a_proxy_that_django_knows(self) -> None:
        browser = self.browser("view_run", "operate_run")
        headers = {
            "HTTP_HOST": "10.0.0.1:8000",
            "HTTP_X_FORWARDED_HOST": "shop.example",
            "HTTP_ORIGIN": "https://shop.example",
        }
        assert browser.post(f"{BASE}do", self.form(), **headers).status_code == 303

    def test_hostile_input_is_shown_harmlessly(self) -> None:
        begin(self.runtime, HOSTILE, task=f"shop.{HOSTILE}")
        browser = self.browser("view_run", "operate_run")
        for query in (
            {},
            {"text": HOSTILE},
            {"task": HOSTILE, "state": "all"},
            {"state": HOSTILE},
            {"after": HOSTILE},
            {"text": "x" * 20_000},
        ):
            answer = browser.get(BASE, query)
            assert answer.status_code in (200, 400), query
            self.harmless(answer.content.decode())
        self.harmless(browser.get(f"{BASE}runs/{HOSTILE}").content.decode())
        for form in (
            {"id": HOSTILE, "verb": "pause"},
            {**self.form(), "verb": HOSTILE},
            {**self.form(), "back": "https://evil.example/"},
            {**self.form(), "back": "//evil.example/"},
            {**self.form(), "reason": HOSTILE * 100},
            {"id": [f"run-{number}" for number in range(900)], "verb": "pause"},
        ):
            answer = browser.post(f"{BASE}do", form, follow=True)
            self.harmless(answer.content.decode())
            for address, _ in getattr(answer, "redirect_chain", ()):
                assert address.startswith(BASE), address
        assert browser.put(BASE).status_code == 405

    def harmless(self, page: str) -> None:
        assert "<script>alert" not in page
        assert "\x1b" not in page
        assert "\u202e" not in page


class Links(AdminCase):
    def setUp(self) -> None:
        super().setUp()
        self.group = Group.objects.create(name="some")
        self.path = f"/back-office/auth/group/{self.group.pk}/change/"

    def test_the_page_of_an_object_links_to_its_run(self) -> None:
        browser = self.browser("view_run", "view_group", "change_group")
        self.assertNotContains(browser.get(self.path), "Celery run<")
        run = self.runs.start(TASK, ["a.csv"], tags=[run_tag(self.group)])
        page = browser.get(self.path).content.decode()
        assert "Celery run" in page
        address = f"{BASE}runs/{TASK}[{run.id}]"
        assert f'<a href="{address}">{TASK}</a> {run.state}' in page
        assert browser.get(address).status_code == 200
        assert browser.get("/back-office/auth/group/add/").status_code == 403
        self.runs.start(TASK, ["b.csv"], tags=[run_tag(self.group)])
        page = browser.get(self.path).content.decode()
        every = re.search(r', <a href="([^"]*)">all runs</a>', page)
        assert every
        listed = browser.get(every[1].replace("&amp;", "&"))
        self.assertContains(listed, run.id[:8])
        self.assertNotContains(listed, "run-1<")

    def test_nobody_without_the_permission_sees_the_link(self) -> None:
        self.runs.start(TASK, tags=[run_tag(self.group)])
        browser = self.browser("view_group", "change_group")
        self.assertNotContains(browser.get(self.path), TASK)
        saved = browser.post(self.path, {"name": "others"})
        assert saved.status_code == 302

    def test_a_template_links_to_the_run_of_a_tag(self) -> None:
        run = self.runs.start(TASK, tags=[HOSTILE, run_tag(self.group)])
        text = "{% load celery_graceful %}{% run_link it %}"
        for it in (self.group, HOSTILE):
            user = User.objects.filter(username="ann").first() or self.user("view_run")
            shown = Template(text).render(Context({"it": it, "user": user}))
            assert run.id in shown
            assert "<script>" not in shown
        assert Template(text).render(Context({"it": "other", "user": user})) == ""
        assert Template(text).render(Context({"it": self.group})) == ""

    def test_without_the_store_the_page_still_works(self) -> None:
        away = Celery("away", broker="memory://")
        away.conf.graceful_store = "redis://127.0.0.1:1/0"
        away.set_default()
        self.addCleanup(away.close)
        browser = self.browser("view_run", "view_group")
        with self.assertLogs("celery_graceful.web", "WARNING"):
            self.assertContains(browser.get(self.path), "(the store does not answer)")
            trouble = browser.get(BASE)
        self.assertContains(trouble, "The store does not answer", status_code=503)
        assert trouble["Retry-After"] == "2"
