"""The tools of the browser tests: each kind of fault is found, and makes its test fail."""

from __future__ import annotations

from contextlib import closing

import pytest
from django.db import connections
from playwright.sync_api import Page

from convstore.database.url import database_alias
from tests.browser.browser import DARK, DARK_PHONE, LIGHT, PHONE, serious_faults, watching
from tests.browser.media import WAV, media

pytestmark = pytest.mark.needs("chromium", "axe", "media")

ADDRESS = "http://page.test/"
STRICT = "default-src 'none'"
GOOD = "<!doctype html><html lang=en><title>good</title><main><h1>A heading</h1><p>Text.</main>"
BAD = """<!doctype html><html lang=en><title>bad</title><main><h1>A heading</h1>
<p id=pale style="color: #bbb; background: #fff">Who can read this?</p><input id=nameless></main>
"""
# A page, the policy that it comes with, and what is to be said of it.
FAULTS = {
    "an inline script": (
        "<script>document.title = 'run'</script>",
        STRICT,
        [("violation", "script-src-elem forbids inline"), ("console", "Content Security Policy")],
    ),
    "an inline style": (
        "<p style='color: red'>",
        STRICT,
        [("violation", "style-src-attr forbids inline"), ("console", "Content Security Policy")],
    ),
    "an image from elsewhere": (
        "<img alt='' src=http://elsewhere.test/image.png>",
        STRICT,
        [
            ("violation", "img-src forbids http://elsewhere.test/image.png"),
            ("console", "Content Security Policy"),
            ("request", "GET http://elsewhere.test/image.png: csp"),
        ],
    ),
    "a script of elsewhere in a frame": (
        "<iframe srcdoc='<script src=http://elsewhere.test/script.js></script>'></iframe>",
        "script-src 'self'",
        [
            ("violation", "script-src-elem forbids http://elsewhere.test/script.js"),
            ("console", "Content Security Policy"),
            ("request", "GET http://elsewhere.test/script.js: csp"),
        ],
    ),
    "an alert": ("<script>alert('Hello!')</script>", "", [("dialog", "alert 'Hello!'")]),
    "a question": ("<script>confirm('Really?')</script>", "", [("dialog", "confirm 'Really?'")]),
    "an exception": (
        "<script>throw new Error('broken')</script>",
        "",
        [("exception", "broken")],
    ),
    "a promise that is broken": (
        "<script>setTimeout(() => Promise.reject(new Error('no')), 20)</script>",
        "",
        [("exception", "no")],
    ),
    "an error in the console": (
        "<script>console.error('trouble')</script>",
        "",
        [("console", "trouble")],
    ),
    "a warning in the console": (
        "<script>console.warn('careful')</script>",
        "",
        [("console", "careful")],
    ),
    "a server that is not there": (
        "<img alt='' src=http://127.0.0.1:9/image.png>",
        "",
        [
            ("request", "GET http://127.0.0.1:9/image.png: net::"),
            ("console", "(http://127.0.0.1:9/image.png)"),
        ],
    ),
    "an image that is not there": (
        "<img alt='' src=/missing.png>",
        "",
        [("console", "404 (Not Found) (http://page.test/missing.png)")],
    ),
    "a page that it opens": (
        "<script>open('/alert')</script>",
        "",
        [("dialog", "alert 'in another page'")],
    ),
}


@pytest.fixture(params=FAULTS.values(), ids=list(FAULTS))
def faulty(request):
    return request.param


def show(page: Page, body: str, policy: str = "") -> None:
    """Open a page without a server."""
    headers = {"Content-Type": "text/html", "Content-Security-Policy": policy}
    page.context.route(f"{ADDRESS}**", lambda route: route.fulfill(status=404))
    page.context.route(ADDRESS, lambda route: route.fulfill(body=body, headers=headers))
    page.context.route(
        f"{ADDRESS}alert",
        lambda route: route.fulfill(
            body="<script>alert('in another page')</script>", content_type="text/html"
        ),
    )
    page.goto(ADDRESS)


def test_a_page_without_a_fault_is_clean(watched):
    show(watched.page, GOOD, STRICT)
    watched.assert_clean()
    assert serious_faults(watched.page) == []


def test_a_fault_is_seen_and_can_be_taken_out(faulty, watched):
    body, policy, said = faulty
    show(watched.page, body, policy)
    for kind, about in said:
        watched.take(kind, about)
    watched.assert_clean()


def test_a_fault_that_was_not_taken_out_fails_the_test(faulty, chromium):
    body, policy, said = faulty
    with pytest.raises(AssertionError) as failure, watching(chromium, LIGHT) as watched:
        show(watched.page, body, policy)
    lines = str(failure.value).splitlines()
    for kind, about in said:
        assert any(line.startswith(f"{kind}: ") and about in line for line in lines)


def test_a_fault_that_was_expected_and_is_not_there_fails_the_test(watched, monkeypatch):
    monkeypatch.setattr("tests.browser.browser.EXPECTED_SECONDS", 0.2)
    show(watched.page, "<script>console.error('one')</script>")
    with pytest.raises(AssertionError, match="No console says 'two'") as failure:
        watched.take("console", "two")
    assert "console: one" in str(failure.value)
    watched.take("console", "one")
    with pytest.raises(AssertionError, match="There was no fault"):
        watched.take("console", "one")


def test_a_page_continues_after_an_alert(watched):
    show(watched.page, "<script>alert('Hello!'); document.title = 'went on'</script>")
    assert watched.page.title() == "went on"
    watched.take("dialog", "alert 'Hello!'")


def test_a_page_may_be_left_before_its_sound_is_loaded_to_the_end(watched):
    show(watched.page, GOOD)
    sound = f"{ADDRESS}sound.wav"
    watched.page.route(sound, lambda route: route.fulfill(body=media(WAV[2])))
    watched.page.set_content(f"<audio controls src={sound}></audio>")
    watched.page.wait_for_function("document.querySelector('audio').duration > 0")
    watched.page.goto(ADDRESS)


@pytest.mark.parametrize("policy", ["", STRICT + "; style-src 'unsafe-inline'"])
def test_accessibility_faults_are_found_under_a_strict_policy_too(policy, watched):
    show(watched.page, BAD, policy)
    contrast, label = sorted(serious_faults(watched.page))
    assert contrast.startswith("color-contrast, serious: ")
    assert contrast.endswith(": #pale")
    assert label.startswith("label, critical: ")
    assert label.endswith(": #nameless")


def test_frames_are_checked_too(watched):
    show(watched.page, f"{GOOD}<iframe title=inner srcdoc='<html lang=en><input>'></iframe>")
    (label,) = serious_faults(watched.page)
    assert label.startswith("label, critical: ")
    assert label.endswith(": input in iframe")


@pytest.mark.parametrize("look", [LIGHT, DARK, PHONE, DARK_PHONE], ids=str)
def test_a_page_is_looked_at_as_the_test_says(look, watched):
    show(watched.page, f"<meta name=viewport content='width=device-width'>{GOOD}")
    seen = watched.page.evaluate(
        """() => [
            innerWidth,
            innerHeight,
            navigator.maxTouchPoints > 0,
            matchMedia("(prefers-color-scheme: dark)").matches,
        ]"""
    )
    assert seen == [look.width, look.height, look.touch, look.scheme == "dark"]


def test_a_database_can_be_queried_while_the_browser_runs(watched, new_database):
    show(watched.page, GOOD)
    connection = connections[database_alias(new_database("sqlite"))]
    with closing(connection), connection.cursor() as cursor:
        assert cursor.execute("SELECT 1").fetchone() == (1,)
