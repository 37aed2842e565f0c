"""Nothing that a client can send is active: not on a page, and not in a file."""

from __future__ import annotations

import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Error, expect

from convstore.archive.history import MessageRow
from convstore.models import Conversation
from inspection import export
from testing.service import Service
from tests.browser import hostile
from tests.browser.browser import PHONE, Watched, each_look, follow, make_user, signed_in
from tests.browser.conversations import (
    SentConversation,
    database_of,
    say,
    text,
    write_memories_to_inspect,
)
from tests.cost import cpu_seconds_of
from tests.length import sampled
from tests.outline import assert_nothing_acts
from tests.visitor import PASSWORD

pytestmark = pytest.mark.needs("chromium", "axe", "media")

ADMIN = "/admin/convstore/conversation/"
LOG = "/admin/inspection/auditentry/"
TEXT_LOOKS = ("?text=raw", "?text=rendered")
# Controls but tab and line feed, bidirectional embeddings and overrides, lone surrogates.
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")
# How many times the CPU time of an ordinary page one may take whose content is made to take long.
MOST_TIMES = 100
# A conversation that there is, of which this is enough to find it, and one that there is not.
FILES = SentConversation("files", [])
ONE, NONE = str(FILES.key), "00000000-0000-4000-8000-000000000000"

# What of a page could run, fetch, send or lead somewhere; a line for each that should not.
INSPECT = """
(origin) => {
    const wrong = [];
    const say = (what, element) => wrong.push(`${what}: ${element.outerHTML.slice(0, 200)}`);
    const never = "iframe, frame, object, embed, base, applet, template, math, style, video";
    for (const element of document.querySelectorAll(never)) say("element", element);
    for (const element of document.querySelectorAll("meta[http-equiv]")) say("meta", element);
    for (const element of document.querySelectorAll("script:not([src])"))
        if (element.type !== "application/json") say("script", element);
    for (const element of document.querySelectorAll("*"))
        for (const {name, value} of element.attributes) {
            if (name.startsWith("on") || name === "srcset") say(name, element);
            if (!["src", "href", "action", "formaction", "data", "xlink:href"].includes(name))
                continue;
            const to = new URL(value, document.baseURI);
            if (to.origin === origin && ["http:", "https:"].includes(to.protocol)) continue;
            const rel = element.rel || "";
            if (element.localName !== "a") say(name, element);
            else if (!["http:", "https:", "mailto:"].includes(to.protocol)) say("scheme", element);
            else if (!/noopener/.test(rel) || !/noreferrer/.test(rel)) say("rel", element);
        }
    for (const link of document.querySelectorAll(".markdown a[href]"))
        if (!/^(https?:|mailto:)/i.test(link.getAttribute("href"))) say("ours", link);
    return wrong;
}
"""


def shortened(text: str) -> str:
    """A short name for a test: a run of one letter becomes a number."""
    text = text.replace(ONE, "ONE").replace(f"id={NONE}&" * 51, "51 ids")
    return re.sub(r"(.)\1{9,}", lambda run: f"{run[1]}*{len(run[0])}", text)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with hostile conversations only."""
    folder = tmp_path_factory.mktemp("hostile")
    with Service(folder, MODELS_DIR=str(write_memories_to_inspect(folder))) as service:
        for talk in hostile.all_of_them():
            say(service, talk)
        make_user(service, "admin", PASSWORD, superuser=True)
        yield service


@pytest.fixture(scope="module")
def cookies(service: Service) -> Any:
    return signed_in(service, "admin")


@pytest.fixture
def session(service: Service, cookies: Any) -> Iterator[requests.Session]:
    """The same user, without a browser."""
    with requests.Session() as session:
        for cookie in cookies:
            session.cookies.set(cookie["name"], cookie["value"])
        session.headers["X-CSRFToken"] = session.cookies["csrftoken"]
        yield session


@dataclass
class Visit:
    """A user who is signed in, and the URLs that their pages requested."""

    watched: Watched
    service: Service
    cookies: Any

    def __post_init__(self) -> None:
        self.asked: list[str] = []
        self.page = self.watched.page
        self.watched.context.add_cookies(self.cookies)
        self.watched.context.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: str) -> None:
        self.page.goto(self.service.url + path)
        self.assert_inert()

    def assert_inert(self) -> None:
        """No script ran or could run, and only our own server was requested."""
        wrong = self.page.evaluate(INSPECT, self.service.url)
        assert not wrong, "\n".join([self.page.url, *wrong])
        self.assert_nothing_ran()

    def assert_nothing_ran(self) -> None:
        for page in self.watched.context.pages:
            assert page.evaluate("String(window.hacked)") == "undefined", page.url
        assert [url for url in self.asked if not url.startswith(f"{self.service.url}/")] == []
        assert self._session() == {each["name"]: each["value"] for each in self.cookies}

    def refused(self, status: str, path: str = "") -> None:
        """Remove the browser's message about an error status."""
        fault = self.watched.take("console", path or status)
        assert status in fault.text

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_text_contents()

    def _session(self) -> dict[str, str]:
        cookies = {each["name"]: each["value"] for each in self.watched.context.cookies()}
        return {name: value for name, value in cookies.items() if "inspection_text" not in name}


@pytest.fixture
def visit(watched: Watched, service: Service, cookies: Any) -> Iterator[Visit]:
    yield Visit(watched, service, cookies)
    watched.page.goto("about:blank")  # what is in a sandbox cannot be heard out
    # Of a page that was left at once not all was loaded; and what is no page names no icon.
    at = re.escape(service.url)
    left = re.compile(rf"GET {at}/\S+: net::ERR_ABORTED|.*404 .*\({at}/favicon.ico\)")
    watched.faults[:] = [each for each in watched.faults if not left.fullmatch(each.text)]


def transcript(talk: SentConversation) -> str:
    return f"{ADMIN}{talk.key}/"


def fetched(session: requests.Session, service: Service, path: str) -> requests.Response:
    return session.get(service.url + path, timeout=60)


# --- Script and markup ---------------------------------------------------------------------


@pytest.mark.soak
def test_script_in_every_field_is_shown_as_text_in_a_transcript(visit):
    for talk in sampled(hostile.scripted(), one_in=2):
        script = talk.memory_id
        visit.open(f"{transcript(talk)}?text=raw")
        said, unanswered = "#message-1 > .body", "#message-3 > .body"
        assert visit.texts("#content h1") == [script]
        assert visit.texts("#message-1 > header .role") == [script]
        assert visit.texts(f"{said} > .parts > .part .text") == [script]
        assert visit.texts(f"{said} > .parts > .part-code .quiet") == [script]
        assert visit.texts(f"{said} > .parts > .part-code code") == [script]
        told = visit.texts(f"{said} > .call > summary code bdi")
        assert [line.startswith(script[:80]) for line in told] == [True]
        assert visit.texts(f"{said} > .call > .quiet bdi") == [script]
        (arguments,) = visit.texts(f"{said} > .call > .code > pre")
        assert json.loads(arguments) == {script: script}
        assert visit.texts("#message-2 .text") == [script]
        assert visit.texts(f"{unanswered} .text") == [script]
        assert visit.texts(f"{unanswered} > .quiet bdi") == [f"no call {script}"]
        plain, spelled = visit.texts("#message-4 > .body > .call > .code > pre")
        assert plain == script
        assert json.loads(spelled) == {script: 1}


@pytest.mark.soak
def test_script_is_shown_as_text_in_rendered_markdown(visit):
    for talk in sampled(hostile.scripted(), one_in=2):
        visit.open(f"{transcript(talk)}?text=rendered")
        (shown,) = visit.texts("#message-1 .part-html")
        tags = re.findall(r"<[a-z!?/][^ >]*", talk.memory_id)
        assert [tag for tag in tags if tag not in shown] == []


def test_script_is_shown_as_text_on_the_first_page_and_in_the_lists(visit):
    ids = {talk.memory_id for talk in hostile.all_of_them()}
    scripts = {talk.memory_id for talk in hostile.scripted()}
    last = [talk.key for talk in hostile.scripted()[:5]]
    rows = Conversation.objects.using(database_of(visit.service)).filter(pk__in=last)
    rows.update(active_at=datetime.now(UTC) + timedelta(hours=1))
    visit.open("/admin/")
    assert set(visit.texts(".last-active bdi")) == set(hostile.SCRIPTS[:5])
    for order in ("created", "active"):
        visit.open(f"{ADMIN}?by={order}")
        shown = set(visit.texts(".field-conversation bdi"))
        follow(visit.page.get_by_role("link", name="Older"))
        visit.assert_inert()
        shown |= set(visit.texts(".field-conversation bdi"))
        assert scripts - shown == set()
        assert len(shown) == len(ids)


@pytest.mark.soak
def test_script_is_shown_as_text_in_the_search_for_a_conversation(visit):
    for talk in sampled(hostile.scripted()[::3], one_in=2):
        visit.open(f"{ADMIN}?q={quote(talk.memory_id)}")
        assert visit.texts(".field-conversation bdi") == [talk.memory_id]
        assert visit.texts(".first-line") == [talk.memory_id]
        expect(visit.page.locator("#searchbar")).to_have_value(talk.memory_id)


def test_script_is_shown_as_text_in_the_search_for_words(visit):
    for query in ("window.hacked", "<script>", "onerror=", "alert(1)\"'", "</mark><script>"):
        visit.open(f"{ADMIN}search/?q={quote(query)}")
        expect(visit.page.get_by_label("Words")).to_have_value(query)
        assert all(query.split("\"'")[0] in hit for hit in in_usual_width(visit, ".hits .text"))
    visit.open(f"{ADMIN}search/?q={quote('<script>')}")
    assert len(visit.texts(".hits .text")) >= 10
    assert set(in_usual_width(visit, ".hits mark")) == {"<script>"}


def in_usual_width(visit: Visit, selector: str) -> list[str]:
    """Texts with letters of full width in the usual one: a search takes them for the same."""
    return [unicodedata.normalize("NFKC", text) for text in visit.texts(selector)]


def test_script_is_shown_as_text_in_the_search_in_one_conversation(visit):
    for talk in hostile.scripted()[1::3]:
        word = talk.memory_id.split()[0]
        visit.open(f"{ADMIN}search/?conversation={talk.key}&q={quote(word)}")
        assert visit.texts(".about a bdi") == [talk.memory_id]
        hits = visit.texts(".hits .text")
        assert len(hits) == 4
        assert all(word.casefold() in hit.casefold() for hit in hits)


def test_script_is_shown_as_text_where_a_deletion_is_confirmed(visit):
    scripts = [talk.memory_id for talk in hostile.scripted()]
    reason = "".join(scripts)[:600]
    ids = "&".join(f"id={talk.key}" for talk in hostile.scripted())
    visit.open(f"{ADMIN}delete/?{ids}")
    assert sorted(visit.texts("#content li bdi")) == sorted(scripts)
    field = visit.page.get_by_label("Reason")
    field.evaluate("(field, reason) => { field.maxLength = 600; field.value = reason; }", reason)
    follow(visit.page.get_by_role("button", name="Delete permanently"))
    expect(visit.page.get_by_text("at most 500 characters")).to_be_visible()
    visit.refused("status of 400")
    visit.assert_inert()
    expect(visit.page.get_by_label("Reason")).to_have_value(reason)


def test_script_is_shown_as_text_in_the_audit_log(visit):
    talk = SentConversation(f"<img src=x onerror='{hostile.JS}'>", [text("user", "gone soon")])
    say(visit.service, talk)
    reason = f"\"'><script>{hostile.JS}</script>\u202e"
    visit.open(f"{ADMIN}delete/?id={talk.key}")
    visit.page.get_by_label("Reason").fill(reason)
    follow(visit.page.get_by_role("button", name="Delete permanently"))
    success = f"Deleted {talk.memory_id} (1 message)."
    expect(visit.page.get_by_text(success)).to_be_visible()
    visit.assert_inert()
    visit.open(f"{LOG}?q={quote(talk.memory_id)}")
    ids = visit.texts(".field-about > bdi, .field-about > a")
    assert set(ids) == {talk.memory_id}
    told = f"the last 1 message; {reason}".replace("\u202e", "[U+202E]")
    assert visit.texts(".field-detail_text")[0] == told


REFLECTED = [
    ("{admin}?database={word}", 404),
    ("{admin}?unknown={word}", 200),
    ("{admin}?from={word}&to={word}", 200),
    ("{admin}?from=2020-01-01&{word}={word}", 200),
    ("{admin}?e=1&before={word}", 200),
    ("{admin}?by={word}&p={word}&o={word}", 200),
    ("{admin}?_popup={word}", 200),
    ("{admin}?q={word}&from=2020-01-01", 200),
    ("{admin}search/?q={word}", 200),
    ("{admin}search/?q=a&step={word}", 400),
    ("{admin}search/?q=a&conversation={word}", 400),
    ("{admin}delete/?id={word}", 400),
    ("{transcript}?position={word}", 400),
    ("{transcript}?before={word}", 400),
    ("{transcript}?date={word}", 400),
    ("{transcript}?text={word}", 400),
    ("{transcript}?list={word}", 200),
    ("{transcript}?list=q%3D{word}", 200),
    ("{transcript}?list=from%3D{word}%26by%3D{word}%26before%3D{word}", 200),
    ("{transcript}?database={word}", 404),
    ("{transcript}export/{word}/", 404),
    ("{log}?q={word}", 200),
    ("{log}?action={word}", 200),
    ("/admin/{word}/", 404),
    ("/admin/login/?next={word}", 200),
]
WORDS = [f"<script>{hostile.JS}<%2Fscript>", f"\"'><img src=x onerror={hostile.JS}>"]


@pytest.mark.soak
@pytest.mark.parametrize("word", WORDS, ids=["an element", "an attribute"])
def test_text_from_the_url_is_shown_as_text(visit, word):
    for path, status in sampled(REFLECTED, one_in=2):
        filled = path.format(
            admin=ADMIN, log=LOG, transcript=transcript(FILES), word=quote(word, safe="%")
        )
        visit.open(filled)
        if status != 200:
            visit.refused(f"status of {status}", filled)


def test_the_sign_in_page_does_not_redirect_to_another_site(watched, service):
    for place in (
        "https://evil.test/",
        "//evil.test/",
        f"javascript:{hostile.JS}",
        "\\\\evil.test",
    ):
        watched.page.goto(f"{service.url}/admin/login/?next={quote(place)}")
        watched.page.get_by_label("Username").fill("admin")
        watched.page.get_by_label("Password").fill(PASSWORD)
        follow(watched.page.get_by_role("button", name="Log in"))
        expect(watched.page.get_by_role("button", name="Log out")).to_be_visible()
        assert watched.page.url.startswith(f"{service.url}/")
        watched.context.clear_cookies()


# --- Markdown ------------------------------------------------------------------------------


def test_links_in_markdown_lead_only_to_the_web(visit):
    visit.open(f"{transcript(hostile.linking())}?text=rendered")
    links = visit.page.locator(".markdown a[href]")
    schemes = links.evaluate_all("(links) => links.map((link) => link.protocol)")
    assert {"http:", "https:", "mailto:"} == set(schemes)
    assert visit.page.locator(".markdown img").count() == 0
    remote = visit.page.get_by_role("link", name="remote").first
    expect(remote).to_have_attribute("href", f"http:{hostile.ELSEWHERE}/pixel.png")
    for name in ("web", "post"):
        expect(visit.page.get_by_role("link", name=name, exact=True)).to_have_attribute(
            "rel", "noopener noreferrer nofollow"
        )


def test_clicking_on_rendered_markdown_runs_nothing(visit):
    visit.open(f"{transcript(hostile.linking())}?text=rendered")
    visit.watched.context.route("**://*.test/**", lambda route: route.abort())
    clicked = visit.page.evaluate(
        """() => {
            const away = (event) => event.preventDefault();
            const links = [...document.querySelectorAll(".markdown a")];
            for (const link of links) {
                if (link.hostname?.endsWith(".test") || link.protocol === "mailto:")
                    link.addEventListener("click", away);
                link.dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
                link.click();
            }
            return links.length;
        }"""
    )
    assert clicked > 10
    visit.assert_inert()
    assert visit.page.url.endswith(f"{transcript(hostile.linking())}?")


# --- What acts on terminals and on the order of letters --------------------------------------


def pages_of(talk: SentConversation) -> list[str]:
    """Every URL at which content of the conversation can be read."""
    page = transcript(talk)
    found = [page + text_look for text_look in TEXT_LOOKS]
    for n, message in enumerate(talk.messages, 1):
        found += [f"{page}{n}/", f"{page}{n}/json/", f"{page}{n}/text/"]
        found += [f"{page}{n}/{m}/" for m in range(1, len(message.parts) + 1)]
    readable = (kind for kind, each in export.FORMATS.items() if not each.is_compressed)
    found += [f"{page}export/{kind}/" for kind in readable]
    found += [f"{ADMIN}search/?q=e&conversation={talk.key}", f"{ADMIN}delete/?id={talk.key}"]
    return [*found, f"{ADMIN}?q={quote(talk.memory_id.partition(':')[0])}", LOG]


@pytest.mark.soak
@pytest.mark.parametrize("talk", hostile.controlling(), ids=lambda talk: ascii(talk.memory_id))
def test_no_response_has_control_characters_or_bidirectional_overrides(session, service, talk):
    for path in sampled(pages_of(talk), one_in=2):
        answer = fetched(session, service, path)
        assert answer.status_code == 200, path
        shown = answer.content.decode()
        assert ACTING.findall(shown) == [], path


NAMED = {
    "colours": "\u241b[31;5mred\u241b[0m",
    "a NUL": "before\u2400after",
    "C1": "[U+009B]31mred[U+009D]0;hacked[U+009C][U+0090][U+0085][U+008D]",
    "going back": "rm\u2408\u2408ls\u240dover\u2421\u2421",
    "an override": "[U+202E]gnp.exe[U+202C]",
    "a lone surrogate": "a[U+D800]b[U+DFFF]c",
}


def test_control_characters_are_shown_by_name(visit):
    for name, shown in NAMED.items():
        (talk,) = [each for each in hostile.controlling() if each.memory_id.startswith(f"{name}: ")]
        for text_look in TEXT_LOOKS:
            visit.open(transcript(talk) + text_look)
            assert visit.texts("#message-1 > header .role") == [shown]
            said, _, linked = visit.page.locator("#message-1 > .body > .parts > .part").all()
            expect(said).to_have_text(shown)
            expect(linked).to_contain_text(shown)


LAST_WORD_IS_LAST = """
(item) => {
    const nodes = document.createTreeWalker(item, NodeFilter.SHOW_TEXT);
    const places = [];
    for (let node = nodes.nextNode(); node; node = nodes.nextNode())
        for (let at = 0; at < node.length; at++) {
            const range = new Range();
            range.setStart(node, at);
            range.setEnd(node, at + 1);
            const place = range.getBoundingClientRect();
            if (place.width) places.push(place);
        }
    const last = places.at(-1);
    return places.every((each) => each.left <= last.left || each.top < last.top);
}
"""


def test_bidirectional_text_does_not_reorder_other_text(visit):
    """The text after an id stays in place, whatever the id contains."""
    ids = "&".join(f"id={talk.key}" for talk in hostile.controlling())
    visit.open(f"{ADMIN}delete/?{ids}")
    items = visit.page.locator("#content li").all()
    assert len(items) == len(hostile.controlling())
    for item in items:
        assert item.inner_text().endswith(" messages")
        assert item.evaluate(LAST_WORD_IS_LAST), ascii(item.inner_text())


# --- What would be shown as something else, or not at all ------------------------------------


def test_only_a_tools_message_is_collapsed_under_a_call(visit):
    visit.open(transcript(hostile.deceiving()))
    expect(visit.page.get_by_text(hostile.REFUSED)).to_be_visible()


def test_arguments_with_a_duplicate_name_are_shown_as_they_were_sent(visit):
    visit.open(transcript(hostile.deceiving()))
    assert visit.texts("#message-2 .call pre") == [hostile.TWICE]


def test_a_part_of_any_type_is_shown_whole(visit):
    visit.open(transcript(hostile.deceiving()))
    expect(visit.page.locator("#message-4")).to_contain_text(hostile.MORE)


def test_the_content_of_a_call_is_not_shown_as_a_message(visit):
    talk = hostile.deceiving()
    visit.open(f"{ADMIN}?q={talk.memory_id}")
    assert visit.texts(".first-line") == [""]
    visit.open(f"{ADMIN}search/?q={quote(hostile.SIGNED)}")
    assert visit.texts(".hits .text") == [hostile.SIGNED]
    expect(visit.page.locator(".hits")).to_contain_text("Not in its content, but in a call")
    visit.open(f"{ADMIN}search/?q={quote(hostile.REFUSED)}")
    assert visit.texts(".hits .text") == [hostile.REFUSED]
    expect(visit.page.locator(".hits")).not_to_contain_text("Not in its content")
    assert hostile.SIGNED not in "".join(visit.texts(".hits .neighbour"))


# --- Too much ------------------------------------------------------------------------------


@pytest.mark.soak
@each_look(PHONE)
@pytest.mark.parametrize("talk", hostile.excessive(), ids=lambda talk: shortened(talk.memory_id))
def test_excessive_content_gives_a_page_that_fits_the_screen(visit, talk, look):
    for text_look in sampled(TEXT_LOOKS, one_in=2):
        visit.open(transcript(talk) + text_look)
        expect(visit.page.locator(".message").first).to_be_visible()
        for details in visit.page.locator("details").all()[:3]:
            details.evaluate("(details) => { details.open = true; }")
        width = visit.page.evaluate("document.documentElement.scrollWidth")
        assert width <= look.width
        # A page is for reading; what is longer is a page of its own.
        assert len(visit.page.content()) < 3_000_000


@pytest.mark.parametrize("talk", hostile.excessive(), ids=lambda talk: shortened(talk.memory_id))
def test_excessive_content_is_shown_searched_and_exported_soon(session, service, talk):
    ordinary = cpu_seconds_of_pages(session, service, [ADMIN] * 10) / 10
    for path in pages_of(talk):
        if re.search(r"/1/\d{2,4}/$", path):
            continue  # one of a thousand parts is as good as another
        assert cpu_seconds_of_pages(session, service, [path]) < MOST_TIMES * ordinary, path


def cpu_seconds_of_pages(
    session: requests.Session, service: Service, paths: Iterable[str]
) -> float:
    before = cpu_seconds_of(service)
    for path in paths:
        assert fetched(session, service, path).status_code == 200, path
    return cpu_seconds_of(service) - before


def test_a_thousand_parts_are_all_shown(visit):
    (talk,) = [each for each in hostile.excessive() if each.memory_id == "many parts"]
    visit.open(f"{transcript(talk)}?text=raw")
    assert visit.texts(".part .text") == [part.value for part in talk.messages[0].parts]


# --- Files that are something else -----------------------------------------------------------

PARTS = list(enumerate(hostile.FILES, 1))


IN_A_SANDBOX = "default-src 'none'; sandbox"


def part(number: int) -> str:
    return f"{transcript(FILES)}1/{number}/"


@pytest.mark.parametrize(("number", "name"), PARTS, ids=list(hostile.FILES))
def test_a_part_is_served_with_its_real_type_or_as_a_download(session, service, number, name):
    answer = fetched(session, service, part(number))
    kind = hostile.FILES[name].mime
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # A browser's own page around an image has styles; nothing else may.
    policy = IN_A_SANDBOX + ("; style-src 'unsafe-inline'" if kind.startswith("image/") else "")
    assert answer.headers["Content-Security-Policy"] == policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "no-store" in answer.headers["Cache-Control"]
    manner = answer.headers.get("Content-Disposition", "inline")
    assert manner.startswith("attachment" if kind == hostile.NOTHING else "inline")


def assert_only_refused(visit: Visit) -> None:
    """Everything was refused; remove the messages about that."""
    wrong = [fault for fault in visit.watched.faults if fault.kind in ("dialog", "exception")]
    assert wrong == []
    visit.watched.faults.clear()
    visit.assert_nothing_ran()


@pytest.mark.soak
def test_no_part_runs_when_its_url_is_opened(visit, subtests):
    for number, name in sampled(PARTS, one_in=2):
        address = visit.service.url + part(number)
        with subtests.test(name):
            if hostile.FILES[name].mime == hostile.NOTHING:
                refused = pytest.raises(Error, match="Download")
                with visit.page.expect_download() as download, refused:
                    visit.page.goto(address)
                assert download.value.suggested_filename == f"1-{number}.bin"
            else:
                visit.page.goto(address)
                assert visit.page.evaluate("location.href") == address
            assert_only_refused(visit)


EMBED = """
async (addresses) => {
    const made = (tag, attribute, address, more = {}) => new Promise((done) => {
        const element = Object.assign(document.createElement(tag), more);
        element[attribute] = address;
        element.onload = () => done(`${tag} ${address} was loaded`);
        element.onerror = () => done("");
        document.body.append(element);
    });
    const worker = (address) => new Promise((done) => {
        const worker = new Worker(address);
        worker.onmessage = () => done(`worker ${address} ran`);
        worker.onerror = (event) => { event.preventDefault(); done(""); };
    });
    const service = (address) => navigator.serviceWorker.register(address).then(
        () => `service worker ${address} was taken`, () => "");
    const module = (address) => import(address).then(() => `module ${address} ran`, () => "");
    const found = [];
    for (const address of addresses) {
        found.push(await made("script", "src", address));
        found.push(await made("link", "href", address, {rel: "stylesheet"}));
        found.push(await worker(address));
        found.push(await service(address));
        found.push(await module(address));
    }
    return found.filter((each) => each);
}
"""
FRAME = """
(addresses) => {
    for (const [tag, attribute] of [["iframe", "src"], ["object", "data"], ["embed", "src"]])
        for (const address of addresses)
            document.body.append(
                Object.assign(document.createElement(tag), {[attribute]: address}));
}
"""


@pytest.fixture
def embedding(visit: Visit) -> Visit:
    """A page of the same origin without a policy, as if an attacker had placed it there."""
    address = f"{visit.service.url}/admin/embedding"
    visit.page.route(address, lambda route: route.fulfill(body="<body>", content_type="text/html"))
    visit.page.goto(address)
    return visit


@pytest.fixture
def as_said(service: Service) -> list[str]:
    """The URLs of parts, of messages' JSON and of exports."""
    files = transcript(FILES)
    links = transcript(hostile.linking())
    others = [f"{files}1/json/", *(f"{links}export/{kind}/" for kind in export.FORMATS)]
    parts = [part(n) for n, _ in sampled(PARTS, one_in=2)]
    return [service.url + path for path in [*parts, *others]]


@pytest.mark.soak
def test_no_content_runs_as_a_script_a_style_or_a_worker(embedding, as_said):
    assert embedding.page.evaluate(EMBED, as_said) == []
    assert_only_refused(embedding)


@pytest.mark.soak
def test_no_content_runs_in_a_frame(embedding, as_said):
    embedding.page.evaluate(FRAME, as_said)
    embedding.page.wait_for_load_state("networkidle")
    for frame in embedding.page.frames:
        assert frame.evaluate("String(window.hacked)") == "undefined", frame.url
        inside = frame.evaluate("document.documentElement.innerHTML")
        assert frame == embedding.page.main_frame or "hacked" not in inside, frame.url
    assert_only_refused(embedding)


RANGES = [
    ("bytes=0-0", 206), ("bytes=-5", 206), ("bytes=2-", 206), ("bytes=0-999999999999999999", 206),
    ("bytes=5-2", 200), ("bytes=-0", 200), ("bytes=-", 200), ("bytes=abc", 200), ("bytes=", 200),
    ("bytes=999999999-", 200), ("bytes=0-0,5-9", 200), ("bytes=-1-5", 200), ("items=0-1", 200),
    ("bytes=0-99999999999999999999", 200), ("bytes=1e3-", 200), ("0-1", 200),
    ("bytes=\xb2-\xb3", 200),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "status"), RANGES, ids=[ascii(asked) for asked, _ in RANGES])
def test_a_range_request_gets_the_range_or_the_whole_file(session, service, asked, status):
    whole = fetched(session, service, part(1 + list(hostile.FILES).index("GIF and script")))
    answer = session.get(whole.url, headers={"Range": asked.encode("latin-1")}, timeout=10)
    assert answer.status_code == status
    assert answer.headers["Content-Security-Policy"] == whole.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if status == 200:
        assert answer.content == whole.content
    else:
        first, last = re.findall(r"\d+", answer.headers["Content-Range"])[:2]
        assert answer.content == whole.content[int(first) : int(last) + 1]


# --- Exports -------------------------------------------------------------------------------


def no_number(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def exports(
    session: requests.Session, service: Service, kind: str
) -> Iterator[tuple[SentConversation, str]]:
    for talk in hostile.some_of_them():
        answer = fetched(session, service, f"{transcript(talk)}export/{kind}/")
        assert answer.status_code == 200
        assert answer.headers["Content-Security-Policy"] == IN_A_SANDBOX
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        name = re.fullmatch(
            r'attachment; filename="([\w.-]{1,100})"', answer.headers["Content-Disposition"]
        )
        assert name
        shown = answer.content.decode()
        assert ACTING.findall(shown) == [], talk.memory_id
        yield talk, shown


@pytest.mark.soak
@pytest.mark.timeout(120)
def test_an_export_as_stored_has_every_message_exactly(session, service):
    rows = MessageRow.objects.using(database_of(service))
    for talk, shown in exports(session, service, "stored"):
        lines = [json.loads(line, parse_constant=no_number) for line in shown.splitlines()]
        stored = rows.filter(conversation_id=talk.key).order_by("position")
        assert [line["body"] for line in lines] == list(stored.values_list("body", flat=True))
        assert {line["memory_id"] for line in lines} == {talk.memory_id}


@pytest.mark.soak
def test_an_openai_export_is_one_line_of_json_for_each_conversation(session, service):
    for talk, shown in exports(session, service, "openai"):
        (line,) = shown.splitlines()
        document = json.loads(line, parse_constant=no_number)
        assert document["metadata"] == {"memory_id": talk.memory_id}
        roles = [json.loads(json.dumps(message.role)) for message in talk.messages]
        beside = [entry["message"] for entry in document.get("left_out", ()) if "message" in entry]
        found = [message["role"] for message in [*document["messages"], *beside]]
        assert sorted(found) == sorted(roles)


@pytest.mark.soak
def test_a_sharegpt_export_is_one_line_of_json_for_each_conversation(session, service):
    for talk, shown in exports(session, service, "sharegpt"):
        (line,) = shown.splitlines()
        assert json.loads(line, parse_constant=no_number)["id"] == talk.memory_id


@pytest.mark.soak
def test_a_markdown_export_of_hostile_content_is_inert(session, service):
    for _, shown in exports(session, service, "markdown"):
        assert_nothing_acts(shown)


@pytest.mark.soak
def test_a_page_of_hostile_content_is_inert_and_loads_nothing(visit, session, service, tmp_path):
    """By its own policy alone: from a file, there are no headers."""
    file = tmp_path / "handed-over.html"
    for talk, shown in exports(session, service, "page"):
        file.write_text(shown)
        visit.page.goto(file.as_uri())
        asked = {url.partition(":")[0] for url in visit.asked if url != file.as_uri()}
        assert asked <= {"data"}, talk.memory_id
        visit.asked.clear()
        visit.assert_nothing_ran()


# Its text has the name that a client gave to the file, escaped.
FILE_LINK = re.compile(r"!?\[((?:[^\]\\]|\\.)*, \d+ bytes)\]\(files/[\w.-]+\)")


@pytest.mark.soak
def test_a_zip_of_hostile_content_has_harmless_names_and_inert_texts(session, service):
    for talk in hostile.some_of_them():
        answer = fetched(session, service, f"{transcript(talk)}export/zip/")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            for name in archive.namelist():
                assert re.fullmatch(r"1-[\w.-]+/(conversation\.md|files/\d+-\d+-[\w.-]+)", name)
            (text,) = (name for name in archive.namelist() if name.endswith("/conversation.md"))
            shown = archive.read(text).decode()
        assert ACTING.findall(shown) == []
        assert_nothing_acts(FILE_LINK.sub(r"\1", shown))


def test_an_export_of_several_hostile_conversations_is_inert(session, service):
    keys = [str(talk.key) for talk in hostile.scripted()]
    for kind, ending in (("openai", "jsonl"), ("stored", "jsonl"), ("markdown", "md")):
        form = {"action": f"export_{kind}", "_selected_action": keys}
        answer = session.post(service.url + ADMIN, data=form, timeout=30)
        named = f'attachment; filename="conversations.{ending}"'
        assert answer.headers["Content-Disposition"] == named
        shown = answer.content.decode()
        assert ACTING.findall(shown) == []
        if ending == "jsonl":
            assert all(json.loads(line) for line in shown.splitlines())
        else:
            assert_nothing_acts(shown)


# --- Odd requests ----------------------------------------------------------------------------

HUGE = "9223372036854775808"
# An address below the list of conversations, and how it is answered.
ODD: dict[str, int] = {
    **dict.fromkeys([f"{ONE}/?position={n}" for n in ("0", "-1", "abc", "1.5", HUGE, "%00")], 400),
    f"{ONE}/?position=9223372036854775807": 200,
    f"{ONE}/?position=": 200,
    **dict.fromkeys([f"{ONE}/?before={n}" for n in ("0", "-1", "abc", HUGE)], 400),
    f"{ONE}/?before=1": 200,
    f"{ONE}/?before=9223372036854775807": 200,
    **dict.fromkeys([f"{ONE}/?date={day}" for day in ("garbage", "2020-13-01", "%00")], 400),
    f"{ONE}/?date=0001-01-01": 200,
    f"{ONE}/?date=9999-12-31T23:59": 200,
    f"{ONE}/?database=unknown": 404,
    f"{ONE}/?database=": 404,
    f"{ONE}/?database=default": 200,
    f"{NONE}/": 404,
    "not-a-uuid/": 404,
    "add/": 404,
    f"{ONE}/change/": 404,
    f"{ONE}/history/": 404,
    f"{ONE}/delete/": 404,
    **dict.fromkeys([f"{ONE}/{n}/" for n in ("0", "999", HUGE, "9" * 2_000, "-1")], 404),
    **dict.fromkeys([f"{ONE}/{n}/{form}/" for n in ("0", HUGE) for form in ("json", "text")], 404),
    **dict.fromkeys([f"{ONE}/1/{n}/" for n in ("0", "999", HUGE, "9" * 2_000, "x")], 404),
    f"{ONE}/export/unknown/": 404,
    f"{NONE}/export/openai/": 404,
    f"search/?q={'x' * 201}": 400,
    f"search/?q={'x' * 3_500}": 400,
    "search/?q=%00": 400,
    "search/?q=%20": 200,
    "search/?q=%ff%fe": 200,
    f"search/?q={'+'.join(map(chr, range(97, 122)))}": 200,
    "search/?q=a&conversation=not-a-uuid": 400,
    f"search/?q=a&conversation={NONE}": 404,
    **dict.fromkeys(
        [
            f"search/?q=a{place}&step=x{stop}"
            for place in ("", f"&conversation={ONE}")
            for stop in ("", "&stop=1")
        ],
        400,
    ),
    f"search/?q=a&conversation={ONE}&stop=1": 200,
    "search/?q=a&role=nobody": 400,
    "search/?q=a&first_day=garbage": 400,
    "search/?q=a&first_day=0001-01-01&last_day=9999-12-31": 200,
    "search/?database=unknown&q=a": 404,
    "delete/": 400,
    "delete/?id=": 400,
    "delete/?id=garbage": 400,
    f"delete/?id={NONE}": 404,
    "delete/?" + f"id={NONE}&" * 51: 400,
    "?q=%00": 200,
    f"?q={'x' * 3_500}": 200,
    "?q=%1b%5b2J": 200,
    **dict.fromkeys([f"?p={n}" for n in ("abc", "-1", "0", HUGE, "1e9")], 200),
    **dict.fromkeys([f"?o={n}" for n in ("", "abc", "99.-99", "-", ".", HUGE)], 200),
    "?e=1": 200,
    "?all=": 200,
    "?_facets=1": 200,
    "?unknown=1": 200,
    "?id=garbage": 200,
    "?pk__in=1": 200,
    "?memory_id__regex=(": 200,
    "?created_at__gte=x": 200,
    "?messages__body__contains=x": 200,
    "?_to_field=password": 400,
    **dict.fromkeys(
        [
            f"?{name}={value}"
            for name in ("before", "after")
            for value in (
                "x",
                "~",
                f"2020-01-01~{HUGE}",
                f"~{NONE}",
                f"0001-01-01T00:00%2b23:00~{NONE}",
            )
        ],
        200,
    ),
    f"?before=2020-01-01~{NONE}": 200,
    "?from=garbage": 200,
    "?from=9999-12-31&to=0001-01-01": 200,
    "?to=9999-12-31": 200,
    "?by=garbage": 200,
    "?database=unknown": 404,
    "?database=default": 200,
}
ODD_LOG: dict[str, int] = {
    "?q=%00": 200,
    "?action=garbage": 200,
    "?before=x": 200,
    "?before=2020-01-01~x": 200,
    f"?before=2020-01-01~{'9' * 30}": 200,
    f"?after=2020-01-01~-{HUGE}": 200,
    "?user__password__startswith=p": 200,
    "?user=garbage": 200,
    "add/": 404,
    "1/": 404,
    "1/change/": 404,
    "1/delete/": 404,
}
ANSWERS = {**{ADMIN + path: code for path, code in ODD.items()}}
ANSWERS |= {LOG + path: code for path, code in ODD_LOG.items()}


def said_in(answer: requests.Response) -> str:
    """The error sentence of a page."""
    if answer.headers["Content-Type"].startswith("application/json"):
        told: str = answer.json()["error"]
        return told
    found = re.search(r'class="errornote">\s*(.*?)\s*<', answer.text)
    return found[1] if found else ""


@pytest.mark.parametrize("path", ANSWERS, ids=[shortened(path) for path in ANSWERS])
def test_an_invalid_url_gets_an_error_page(session, service, path):
    answer = fetched(session, service, path)
    assert answer.status_code == ANSWERS[path]
    assert answer.status_code == 200 or len(said_in(answer)) > 10
    assert "Traceback" not in answer.text


# What is posted to an address, and how that is answered.
POSTS: list[tuple[str, dict[str, Any], int]] = [
    (ADMIN, {"action": "export_stored", "_selected_action": "garbage"}, 400),
    (ADMIN, {"action": "export_stored", "_selected_action": NONE}, 200),
    (ADMIN, {"action": "delete", "_selected_action": "garbage"}, 400),
    (ADMIN, {"action": "delete_selected", "_selected_action": ONE, "post": "yes"}, 200),
    (ADMIN, {"action": "garbage", "_selected_action": ONE}, 200),
    (ADMIN, {"action": "export_stored", "_selected_action": ONE, "index": "x"}, 200),
    (ADMIN, {"action": "export_stored", "_selected_action": ONE, "index": "-9"}, 200),
    (ADMIN, {"_save": "1", "form-TOTAL_FORMS": "1"}, 200),
    (f"{ADMIN}{ONE}/", {"_save": "1", "memory_id": "other"}, 200),
    (f"{ADMIN}search/", {"q": "a"}, 200),
    (f"{ADMIN}delete/", {}, 400),
    (f"{ADMIN}delete/", {"id": "garbage", "reason": "x"}, 400),
    (f"{ADMIN}delete/", {"id": [NONE] * 51, "reason": "x"}, 400),
    (f"{ADMIN}delete/", {"id": NONE, "reason": "x"}, 404),
    (f"{ADMIN}delete/", {"id": ONE, "reason": " "}, 400),
    (f"{ADMIN}delete/", {"id": ONE, "reason": "x" * 501}, 400),
    (f"{ADMIN}delete/", {"id": ONE, "reason": "a\0b"}, 400),
    (f"{ADMIN}delete/", {"id": ONE, "reason": "x", "total": "-1"}, 400),
    (f"{ADMIN}delete/", {"id": ONE, "reason": "x", "total": "9" * 5_000}, 400),
    (f"{ADMIN}delete/?database=unknown", {"id": ONE, "reason": "x"}, 404),
    (LOG, {"action": "delete_selected", "_selected_action": "1", "post": "yes"}, 200),
]


@pytest.mark.parametrize("post", POSTS, ids=[shortened(f"{post[0]} {post[1]}") for post in POSTS])
def test_an_invalid_form_gets_an_error_page(session, service, post):
    path, form, status = post
    answer = session.post(service.url + path, data=form, timeout=30)
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert fetched(session, service, f"{ADMIN}{ONE}/").status_code == 200


@pytest.mark.parametrize("path", [ADMIN, f"{ADMIN}delete/", "/admin/logout/"])
def test_a_form_of_another_site_is_refused(session, service, path):
    form = {"id": ONE, "reason": "x", "action": "export_stored", "_selected_action": ONE}
    for token, origin in (("", None), ("x" * 64, None), (None, "https://evil.test")):
        headers = {"X-CSRFToken": token} if token is not None else {"Origin": str(origin)}
        answer = session.post(service.url + path, data=form, headers=headers, timeout=10)
        assert answer.status_code == 403
    assert fetched(session, service, f"{ADMIN}{ONE}/").status_code == 200


def test_the_services_log_has_no_traceback_and_no_control_characters(session, service):
    """Covers the requests of the other tests, which came before."""
    evil = quote("\x1b]0;hacked\x07\x9b31m\nFAKE LINE")
    for path in (f"{ADMIN}{evil}/", f"{ADMIN}?q={evil}", f"/{evil}", f"/v2/models/{evil}/infer"):
        fetched(session, service, path)
    sign_in_page = f"{service.url}/admin/login/"
    form = {"username": "\x1b[31mhacked\nFAKE LINE\x9b", "password": "x"}
    session.post(sign_in_page, data=form, timeout=10)
    for talk in hostile.controlling():
        fetched(session, service, transcript(talk))
    log = service.log.read_text()
    assert "Traceback" not in log
    assert ACTING.findall(log) == []
    assert not re.search("^FAKE LINE", log, re.MULTILINE)
