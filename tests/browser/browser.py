"""Pages in a real browser: how they are looked at, what goes wrong in them, who can use them.

It is Debian's Chromium, driven by Playwright, and has no way out of this machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import requests
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Playwright,
    Request,
    WebError,
    expect,
)

from testing.service import Service
from tests.browser.conversations import database_of
from tests.machine import chromium
from tests.visitor import PASSWORD, Visitor

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# How long a page is listened to at its end, and waited for where a fault is expected.
LAST_WORDS_MILLISECONDS = 50
EXPECTED_SECONDS = 30

HEAR_OUT = "(milliseconds) => new Promise((done) => setTimeout(done, milliseconds))"
REPORT_VIOLATIONS = """
window.addEventListener("securitypolicyviolation", (violation) => window.reportViolation(
    `${violation.effectiveDirective} forbids ${violation.blockedURI} ${violation.sample}`
), true);
"""


def launched(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)


# --- How a page is looked at --------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """The size of the screen, and the light or dark theme."""

    name: str
    scheme: Literal["light", "dark"]
    width: int = 1280
    height: int = 800
    touch: bool = False

    def __str__(self) -> str:
        return self.name

    def context(self, browser: Browser) -> BrowserContext:
        """A browser context of a new visitor, without cookies."""
        return browser.new_context(
            color_scheme=self.scheme,
            viewport={"width": self.width, "height": self.height},
            has_touch=self.touch,
            is_mobile=self.touch,
        )


LIGHT = Look("light", "light")
DARK = Look("dark", "dark")
PHONE = Look("phone", "light", 390, 844, touch=True)
DARK_PHONE = Look("dark phone", "dark", 390, 844, touch=True)
LOOKS = (LIGHT, DARK, PHONE, DARK_PHONE)


def each_look(short: Look) -> pytest.MarkDecorator:
    """Run a test in each look; in a short run in one alone.

    These are chosen so that most pages are seen in both themes and on both screens.
    """
    later = [pytest.param(look, marks=pytest.mark.soak_only) for look in LOOKS if look != short]
    return pytest.mark.parametrize("look", [short, *later], ids=str)


# --- How it is used -----------------------------------------------------------------------


def follow(element: Locator) -> None:
    """Click, and wait for the next page."""
    with element.page.expect_navigation():
        element.click()


def press(page: Page, key: str) -> None:
    """Press a key, and wait for the next page."""
    with page.expect_navigation():
        page.keyboard.press(key)


# --- What goes wrong in a page ------------------------------------------------------------

Kind = Literal["console", "exception", "request", "violation", "dialog"]


@dataclass(frozen=True)
class Fault:
    """Something that must not happen on any page."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class Watched:
    """A visitor's page, with the faults of it and of every page that it opens.

    What breaks the Content-Security-Policy is two of them, since Chromium writes it to the
    console, too. A dialog is dismissed.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.faults: list[Fault] = []
        context.on("console", self._console)
        context.on("weberror", self._exception)
        context.on("requestfailed", self._request)
        context.on("dialog", self._dialog)
        context.expose_function("reportViolation", self._violation)
        context.add_init_script(REPORT_VIOLATIONS)
        self.page = context.new_page()

    def take(self, kind: Kind, about: str) -> Fault:
        """Wait for an expected fault whose text contains `about`, and remove it."""
        deadline = time.monotonic() + EXPECTED_SECONDS
        while time.monotonic() < deadline:
            for fault in self.faults:
                if fault.kind == kind and about in fault.text:
                    self.faults.remove(fault)
                    return fault
            self.page.wait_for_timeout(LAST_WORDS_MILLISECONDS)
        raise AssertionError(f"No {kind} says {about!r}.\n{self._report()}")

    def assert_clean(self) -> None:
        """Wait for late faults. Raises AssertionError with all faults that were not removed."""
        for page in self.context.pages:
            page.wait_for_load_state()
            page.evaluate(HEAR_OUT, LAST_WORDS_MILLISECONDS)
        assert not self.faults, self._report()

    def _report(self) -> str:
        return "\n".join(map(str, self.faults)) or "There was no fault."

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self._add("console", f"{message.text} ({message.location['url']})")

    def _exception(self, error: WebError) -> None:
        self._add("exception", str(error.error))

    def _request(self, request: Request) -> None:
        # A sound that is longer than what is loaded of it, when its page is left; and the icon.
        late = request.resource_type == "media" or "/inspection/icon." in request.url
        if late and request.failure == "net::ERR_ABORTED":
            return
        self._add("request", f"{request.method} {request.url}: {request.failure}")

    def _dialog(self, dialog: Dialog) -> None:
        self._add("dialog", f"{dialog.type} {dialog.message!r}")
        dialog.dismiss()

    def _violation(self, text: str) -> None:
        self._add("violation", text)

    def _add(self, kind: Kind, text: str) -> None:
        self.faults.append(Fault(kind, text))


@contextmanager
def watching(browser: Browser, look: Look) -> Iterator[Watched]:
    """The page of a new visitor; at the end it must have no fault."""
    context = look.context(browser)
    try:
        watched = Watched(context)
        yield watched
        watched.assert_clean()
    finally:
        context.close()


# --- Who cannot use a page ----------------------------------------------------------------


@cache
def axe() -> str:
    folder = Path(__file__).parent / "node_modules"
    assert folder.exists(), "axe-core is missing: make tests/browser/node_modules/installed"
    return (folder / "axe-core" / "axe.min.js").read_text()


def serious_faults(page: Page, *, preload: bool = True) -> list[str]:
    """The serious and critical accessibility faults that axe-core finds, one line each.

    To `preload` style sheets that import others, axe-core itself breaks the page's policy.
    """
    for frame in page.frames:
        frame.evaluate(axe())  # not by a script element, which a page's policy would refuse
    run = "(preload) => axe.run({resultTypes: ['violations'], preload})"
    found = page.evaluate(run, preload)["violations"]
    return [line(rule) for rule in found if rule["impact"] in ("serious", "critical")]


def line(rule: dict[str, Any]) -> str:
    """A violated rule of axe-core, and the elements that violate it."""
    elements = (" in ".join(map(str, reversed(node["target"]))) for node in rule["nodes"])
    return f"{rule['id']}, {rule['impact']}: {rule['help']}: {', '.join(elements)}"


# --- Users --------------------------------------------------------------------------------


@cache
def hashed(password: str) -> str:
    """The same hash for all users: to make one takes long."""
    return make_password(password)


def make_user(
    service: Service,
    name: str,
    password: str,
    permissions: Sequence[str] = (),
    superuser: bool = False,
) -> None:
    """Create a staff user with permissions such as `convstore.view_conversation`."""
    alias = database_of(service)
    user = get_user_model()(
        username=name, password=hashed(password), is_staff=True, is_superuser=superuser
    )
    user.save(using=alias)
    user.user_permissions.set(
        Permission.objects.using(alias).get(content_type__app_label=app, codename=codename)
        for app, codename in (permission.split(".") for permission in permissions)
    )


def sign_in(page: Page, url: str, username: str, password: str) -> None:
    """Sign in to the admin of the service at `url`; this ends on its first page."""
    page.goto(f"{url}/admin/login/?next=/admin/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    follow(page.get_by_role("button", name="Log in"))
    expect(page).to_have_url(f"{url}/admin/")


def signed_in(service: Service, username: str) -> list[Any]:
    """The cookies of a user with the password PASSWORD after signing in to the admin."""
    with requests.Session() as session:
        assert "Log out" in Visitor(service, session).sign_in(username, PASSWORD).text
        return [
            {
                "name": each.name,
                "value": each.value,
                "domain": each.domain,
                "path": each.path,
                "httpOnly": each.has_nonstandard_attr("HttpOnly"),
                "sameSite": "Lax",
            }
            for each in session.cookies
        ]
