"""The first page in a browser: the databases, one of which is down."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from convstore.models import Conversation
from testing.bodies import new_id
from testing.service import NOWHERE, Service, write_memory
from tests.browser.browser import (
    DARK_PHONE,
    LIGHT,
    Look,
    each_look,
    follow,
    make_user,
    press,
    serious_faults,
    sign_in,
    signed_in,
)
from tests.browser.conversations import (
    ELSEWHERE,
    ELSEWHERE_FILE,
    SHIPPED,
    SHIPPED_FILE,
    WITH_TOOLS,
    SentConversation,
    database_of,
    date_back,
    list_of,
    of_many_messages,
    say_at_once,
    small,
    write_memories_to_inspect,
)
from tests.visitor import PASSWORD

pytestmark = pytest.mark.needs("chromium", "axe", "media")

# A memory of each database that can be asked, and the file that this is.
FILES = {WITH_TOOLS: SHIPPED_FILE, ELSEWHERE: ELSEWHERE_FILE}
DATABASES = pytest.mark.parametrize("memory", FILES)
DOWN = "PostgreSQL, nothing on 127.0.0.1:1"
FIGURES = ("Conversations", "Messages", "New in 30 days")
HEIGHTS = "(bars) => bars.map((bar) => bar.height.baseVal.value)"
# Elements whose content is wider than they are.
CUT = """(sections) => sections.filter((each) => each.scrollWidth > each.clientWidth).length"""


@pytest.fixture(scope="module")
def glanced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service for this module only, so that its numbers are known; one database is down."""
    folder = tmp_path_factory.mktemp("first-page")
    models = write_memories_to_inspect(folder)
    write_memory(models, "down", {"database": "sql", "config": {"url": NOWHERE}})
    stamp = folder / "backup.stamp"
    stamp.touch()
    before = datetime.now(UTC) - timedelta(days=2, hours=1)
    os.utime(stamp, (before.timestamp(), before.timestamp()))
    with Service(folder, MODELS_DIR=str(models), BACKUP_STAMP=str(stamp)) as service:
        make_user(service, "superuser", PASSWORD, superuser=True)
        yield service


@pytest.fixture(scope="module")
def superuser(glanced: Service) -> list[Any]:
    return signed_in(glanced, "superuser")


@pytest.fixture
def page(watched: Any, superuser: list[Any]) -> Page:
    """A page where a superuser of this module's service is signed in."""
    watched.context.add_cookies(superuser)
    opened: Page = watched.page
    return opened


def first_page(page: Page, service: Service) -> Page:
    page.goto(f"{service.url}/admin/")
    return page


def glance(page: Page, memory: str) -> Locator:
    """The panel of the database that the memory uses."""
    return page.get_by_role("region", name=f"SQLite, {FILES[memory]}", exact=True)


def figure(region: Locator, name: str) -> str:
    term = region.page.get_by_text(name, exact=True)
    return region.locator(".figures > div").filter(has=term).locator("dd").inner_text()


def figures(region: Locator) -> list[int]:
    return [int(figure(region, name).replace(",", "")) for name in FIGURES]


def last_active(service: Service, memory: str, talks: Sequence[SentConversation]) -> None:
    """Store that they were, an hour after each other, the first one last; others long before."""
    rows = Conversation.objects.using(database_of(service, FILES[memory]))
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows.update(active_at=now - timedelta(days=100))
    for hours, talk in enumerate(talks):
        assert rows.filter(pk=talk.key).update(active_at=now - timedelta(hours=hours)) == 1


# --- Each database -----------------------------------------------------------------------


@each_look(LIGHT)
def test_each_database_is_a_region_with_the_memories_that_use_it(page, glanced):
    first_page(page, glanced)
    expect(page.get_by_role("region").locator("h2")).to_have_count(3)
    expect(page.get_by_text("Last backup: ")).to_contain_text("2 days ago")
    for memory, memories in ((WITH_TOOLS, [SHIPPED, WITH_TOOLS]), (ELSEWHERE, [ELSEWHERE])):
        region = glance(page, memory)
        expect(region.get_by_role("heading", level=2)).to_have_text(f"SQLite, {FILES[memory]}")
        assert sorted(region.locator("code").all_inner_texts()) == memories
        assert figure(region, "Status") == "online"
    assert serious_faults(page) == []


@DATABASES
def test_the_numbers_increase_with_new_messages(memory, page, glanced):
    before = figures(glance(first_page(page, glanced), memory))
    others = [figures(glance(page, other)) for other in FILES if other != memory]
    for _ in range(2):
        say_at_once(glanced, of_many_messages(3), memory)
    page.reload()
    grown = zip(figures(glance(page, memory)), before, strict=True)
    assert [after - earlier for after, earlier in grown] == [2, 6, 2]
    assert [figures(glance(page, other)) for other in FILES if other != memory] == others


@each_look(LIGHT)
def test_the_chart_of_thirty_days_has_a_label_with_its_total(page, glanced):
    for memory in FILES:
        say_at_once(glanced, small(f"today-{new_id()}"), memory)
    first_page(page, glanced)
    for memory in FILES:
        region = glance(page, memory)
        new = figures(region)[-1]
        first = datetime.now(UTC) - timedelta(days=29)
        name = f"per day, from {first:%-d %B} to today:\\s+{new} in 30 days.$"
        chart = region.get_by_role("img", name=re.compile(f"^New conversations {name}"))
        expect(chart).to_be_visible()
        expect(chart.locator("rect.empty")).to_have_count(30)
        box = chart.bounding_box()
        assert box
        assert box["width"] > 200
        assert box["height"] == 60


@DATABASES
def test_each_bar_is_a_day_and_its_height_is_the_number(memory, page, glanced):
    talks = [say_at_once(glanced, small(f"bar-{n}-{new_id()}"), memory) for n in range(3)]
    rows = Conversation.objects.using(database_of(glanced, FILES[memory]))
    now = datetime.now(UTC)
    rows.update(created_at=now - timedelta(days=90))
    for talk, ago in zip(talks, (3, 3, 7), strict=True):
        rows.filter(pk=talk.key).update(created_at=now - timedelta(days=ago))
    bars = glance(first_page(page, glanced), memory).locator("rect:not(.empty)")
    assert bars.evaluate_all(HEIGHTS) == [30, 60]
    titles = [" ".join(title.split()) for title in bars.locator("title").all_text_contents()]
    days = [now - timedelta(days=ago) for ago in (7, 3)]
    assert titles == [f"{days[0]:%-d %B}: 1", f"{days[1]:%-d %B}: 2"]


@each_look(DARK_PHONE)
def test_recently_active_conversations_link_to_their_transcripts(page, glanced):
    talks = {
        memory: [say_at_once(glanced, small(f"active-{n}-{new_id()}"), memory) for n in range(6)]
        for memory in FILES
    }
    for memory in FILES:
        last_active(glanced, memory, talks[memory])
    first_page(page, glanced)
    for memory, active in talks.items():
        links = glance(page, memory).get_by_role("listitem").get_by_role("link")
        expect(links).to_have_text([talk.memory_id for talk in active[:5]])
        for n in (0, 4):
            follow(links.nth(n))
            expect(page.get_by_role("heading", level=1)).to_have_text(active[n].memory_id)
            expect(page.locator(".about")).to_contain_text(f"SQLite, {FILES[memory]}")
            expect(page.get_by_role("article")).to_contain_text("Hello!")
            page.go_back()


@DATABASES
def test_a_database_links_to_its_list_and_its_search(memory, page, glanced):
    talk = say_at_once(glanced, small(f"there-{new_id()}", "A pomegranate."), memory)
    elsewhere = {WITH_TOOLS: ELSEWHERE, ELSEWHERE: WITH_TOOLS}[memory]
    other = say_at_once(glanced, small(f"not-there-{new_id()}", "A pomegranate."), elsewhere)
    region = glance(first_page(page, glanced), memory)
    follow(region.get_by_role("link", name="All conversations"))
    expect(page.get_by_role("link", name=talk.memory_id)).to_be_visible()
    expect(page.get_by_role("link", name=other.memory_id)).to_have_count(0)
    region = glance(first_page(page, glanced), memory)
    follow(region.get_by_role("link", name=re.compile("Search")))
    page.get_by_label("Words").fill("pomegranate")
    press(page, "Enter")
    expect(page.get_by_role("link", name=talk.memory_id, exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=other.memory_id)).to_have_count(0)


def test_days_that_are_over_are_counted_once_by_a_command(watched, tmp_path):
    with Service(tmp_path, BACKUP_STAMP=str(tmp_path / "no stamp")) as counted:
        make_user(counted, "first", PASSWORD, superuser=True)
        talk = say_at_once(counted, of_many_messages(3), SHIPPED)
        date_back(counted, talk, datetime.now(UTC) - timedelta(days=2), timedelta())
        sign_in(watched.page, counted.url, "first", PASSWORD)
        expect(watched.page.get_by_role("main")).to_contain_text("count_days")
        expect(watched.page.get_by_role("main")).to_contain_text("Last backup: none is known")
        assert f"{SHIPPED_FILE}: 29 days were counted now." in count_days(counted)
        watched.page.reload()
        chart = watched.page.get_by_role("img", name=re.compile("^Messages per day.*: 3 in 30"))
        expect(chart.locator("rect:not(.empty)")).to_have_count(1)
        expect(chart.locator("rect:not(.empty) title")).to_have_text(re.compile(": 3$"))
        expect(chart.locator("rect.empty title").last).to_have_text(re.compile("not counted"))
        assert serious_faults(watched.page) == []
        assert f"{SHIPPED_FILE}: 0 days were counted now." in count_days(counted)
        watched.page.goto("about:blank")


def count_days(service: Service) -> str:
    done = subprocess.run(
        [".venv/bin/python", "manage.py", "count_days"],
        cwd=service.folder,
        env={**os.environ, **service.environment},
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_requests_to_a_memory_are_shown_with_their_latency(page, glanced):
    say_at_once(glanced, of_many_messages(1), SHIPPED)
    region = glance(first_page(page, glanced), WITH_TOOLS)
    expect(region).to_contain_text(re.compile(f"{SHIPPED}: [\\d,]+ requests? since the start"))
    expect(region).to_contain_text("95 of 100 took up to")


@each_look(DARK_PHONE)
def test_an_empty_service_shows_how_to_begin(look, watched, tmp_path):
    with Service(tmp_path) as empty:
        make_user(empty, "first", PASSWORD, superuser=True)
        sign_in(watched.page, empty.url, "first", PASSWORD)
        page = watched.page
        expect(page.get_by_text("No conversations yet.").first).to_be_visible()
        expect(page.get_by_role("link", name="Users and groups")).to_be_visible()
        command = page.locator(".first-request").inner_text()
        for address in (page.url, list_of(empty)):
            page.goto(address)
            assert page.locator(".first-request").inner_text() == command
            assert serious_faults(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= look.width
        subprocess.run(["sh", "-ec", command], check=True, capture_output=True)
        page.reload()
        expect(page.get_by_role("link", name="Hello! first")).to_be_visible()
        expect(page.locator(".first-request")).to_have_count(0)
        page.goto(f"{list_of(empty)}?by=active&from=2001-01-01&to=2001-01-01")
        expect(page.locator(".first-request")).to_have_count(0)
        follow(page.get_by_role("link", name="Show the whole list"))
        expect(page).to_have_url(f"{list_of(empty)}?by=active")
        expect(page.get_by_role("link", name="Hello! first")).to_be_visible()
        page.goto("about:blank")


# --- One that is down --------------------------------------------------------------------


@each_look(LIGHT)
def test_a_database_that_is_down_has_an_error_sentence(page, glanced):
    for memory in FILES:
        say_at_once(glanced, small(f"online-{new_id()}"), memory)
    first_page(page, glanced)
    region = page.get_by_role("region", name=DOWN, exact=True)
    expect(region).to_contain_text("Memory: down")
    expect(region.locator(".errornote")).to_have_text(
        "The database closed the connection; the log has the reason."
    )
    expect(region.get_by_role("img")).to_have_count(0)
    for memory in FILES:
        assert figure(glance(page, memory), "Status") == "online"
        expect(glance(page, memory).get_by_role("img")).to_be_visible()


def test_no_password_of_a_database_is_in_the_page(page, glanced):
    first_page(page, glanced)
    assert "127.0.0.1:1" in page.content()
    assert "secret" not in page.content()
    assert "nobody" not in page.content()


# --- Every screen ------------------------------------------------------------------------


@each_look(DARK_PHONE)
def test_no_element_is_wider_than_the_screen(look: Look, page, glanced):
    for memory in FILES:
        wide = [SentConversation(letter * 255, small("").messages) for letter in "wm"]
        for talk in wide:
            say_at_once(glanced, talk, memory)
        last_active(glanced, memory, wide)
    first_page(page, glanced)
    expect(page.get_by_role("link", name="w" * 255)).to_have_count(len(FILES))
    assert page.evaluate("document.documentElement.scrollWidth") <= look.width
    assert page.locator(".panel").evaluate_all(CUT) == 0
    assert serious_faults(page) == []
