"""The browser, its pages, and the service whose admin they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from testing.bodies import new_id
from testing.service import Service
from tests.browser.browser import (
    LIGHT,
    Look,
    Watched,
    launched,
    make_user,
    signed_in,
    watching,
)
from tests.browser.conversations import write_memories_to_inspect
from tests.conftest import Keep
from tests.visitor import PASSWORD


@pytest.fixture(scope="session")
def admin_service(tmp_path_factory: pytest.TempPathFactory, kept: Keep) -> Service:
    """The service with its default configuration and two more memories, for the browser tests."""

    def make() -> Service:
        folder = tmp_path_factory.mktemp("browser")
        return Service(folder, MODELS_DIR=str(write_memories_to_inspect(folder)))

    service: Service = kept("admin service", make)
    return service


def no_running_loop() -> NoReturn:
    raise RuntimeError


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for a module's tests.

    While it runs, there is an event loop of Playwright's in this thread, for which asyncio
    would refuse to run another, and Django to ask a database. So it does not outlive the
    module; and Django does not see it. DJANGO_ALLOW_ASYNC_UNSAFE would do that, too, but
    for every server that is started meanwhile, and MLServer must stay under Django's guard.
    """
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setattr("django.utils.asyncio.get_running_loop", no_running_loop)
        with launched(playwright) as browser:
            yield browser


@pytest.fixture(scope="session")
def inspector(admin_service: Service) -> str:
    """The name of a superuser."""
    name = f"inspector-{new_id()[:8]}"
    make_user(admin_service, name, PASSWORD, superuser=True)
    return name


@pytest.fixture(scope="session")
def cookies(admin_service: Service, inspector: str) -> list[Any]:
    """The cookies of the inspector after signing in."""
    return signed_in(admin_service, inspector)


@pytest.fixture
def look() -> Look:
    """The look of a test's pages; override it with `pytest.mark.parametrize("look", ...)`."""
    return LIGHT


@pytest.fixture
def watch(chromium: Browser) -> Iterator[Callable[[Look], Watched]]:
    """Open a page for a new visitor; at the end of the test it must have no fault."""
    with ExitStack() as pages:
        yield lambda look: pages.enter_context(watching(chromium, look))


@pytest.fixture
def watched(watch: Callable[[Look], Watched], look: Look) -> Watched:
    """The page of a test that needs only one."""
    return watch(look)


@pytest.fixture
def page(watched: Watched, cookies: list[Any]) -> Page:
    """The page of a test, where the inspector is signed in."""
    watched.context.add_cookies(cookies)
    return watched.page
