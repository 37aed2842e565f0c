"""The pictures of the admin in docs/images: `make screenshots` takes them anew.

What they show was made for them; the photos are in the public domain (`requirements-media.txt`).
"""

from __future__ import annotations

import base64
import io
import json
import math
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from playwright.sync_api import Page, sync_playwright

from testing.processes import ROOT
from testing.service import TOOLS, Service, write_memory

if not settings.configured:
    import os

    os.environ["DJANGO_SETTINGS_MODULE"] = "convstore.settings"
    django.setup()

from convstore.messages import Message, Part
from tests.browser.browser import (
    DARK,
    LIGHT,
    PHONE,
    launched,
    make_user,
    sign_in,
)
from tests.browser.conversations import (
    SHIPPED_FILE,
    SentConversation,
    call,
    date_back,
    list_of,
    say,
    text,
    transcript_of,
)
from tests.browser.media import media
from tests.visitor import PASSWORD

FOLDER = ROOT / "docs" / "images"
# By how it is looked at: a picture's name, and the page that is in it.
LOOKS = {
    LIGHT: {"first-page": "first page", "list": "list", "search": "search"},
    DARK: {"list-dark": "list"},
    replace(LIGHT, height=1240): {"transcript": "transcript"},
    replace(DARK, height=1240): {"transcript-dark": "transcript"},
    PHONE: {"transcript-phone": "transcript", "search-phone": "search"},
}
MEMORY, OTHER_MEMORY, CAT = "assistant", "support", "user-4711/cat"
FILES = {MEMORY: SHIPPED_FILE, OTHER_MEMORY: "support.sqlite3"}
# A photo as a phone would send it: the pictures are to be small files, too.
SMALLER = """async (address) => {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = 300;
    canvas.height = 200;
    canvas.getContext("2d").drawImage(image, 0, 0, 300, 200);
    return canvas.toDataURL("image/jpeg", 0.8);
}"""
# How many conversations begin on each day of a week, Monday first.
WEEK = (3, 5, 4, 6, 5, 2, 1)
REMINDER = """\
Let this run on your computer:

```python
while True:
    print("Fresh water for the cat!")
    time.sleep(4 * 60 * 60)  # seconds
```"""
TALKS = (
    ("How do I keep basil alive indoors?", "Much light, little water, and never a wet foot."),
    ("Translate 'see you on Tuesday' into Portuguese.", "Até terça-feira!"),
    ("Why does my bread not rise?", "The water may have been too hot for the yeast."),
    ("ما هي عاصمة المغرب؟", "عاصمة المغرب هي الرباط."),
    ("请用一句话解释什么是数据库。", "数据库是有组织地保存数据的地方。"),
    ("Plan three days in Lisbon with a toddler.", "Day one: the Oceanarium, by the water."),
    ("What is the difference between TCP and UDP?", "TCP repeats what is lost; UDP does not."),
    ("Write a limerick about a lighthouse.", "There once was a lamp on a rock ..."),
    ("How long do lentils cook?", "Red ones ten minutes, in twice as much water."),
    ("Summarise this contract in five points.", "Gladly: please send its text."),
    ("Is 1001 a prime number?", "No: it is 7 times 11 times 13."),
    ("What do I take along for a day in the Alps?", "Layers, a map, and two litres of water."),
    ("Rename all files in a folder by their date.", "With a loop over the files: ..."),
)


def tone(seconds: float = 2, hertz: float = 440) -> bytes:
    """A WAV file with one tone, which is free of copyright."""
    rate = 8000
    samples = (math.sin(2 * math.pi * hertz * n / rate) for n in range(int(seconds * rate)))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(rate)
        sound.writeframes(bytes(int(127 + 100 * sample) for sample in samples))
    return file.getvalue()


def small_photo() -> str:
    photo = base64.b64encode(media("skimage/data/chelsea.png")).decode()
    with sync_playwright() as playwright, launched(playwright) as browser:
        smaller: str = browser.new_page().evaluate(SMALLER, f"data:image/png;base64,{photo}")
    return smaller


def the_cat(photo: str) -> SentConversation:
    sound = base64.b64encode(tone()).decode()
    asks = [
        call("call_1", "veterinarians", city="Bern", open="today"),
        call("call_2", "appointments", at="Tierklinik Aare", on="today"),
    ]
    answer = json.dumps([{"name": "Tierklinik Aare", "until": "18:00"}])
    failure = "ERROR: Tierklinik Aare has no calendar"
    well = "She looks **well**: bright eyes, a clean nose, a calm face."
    aare = "A tone of `440 Hz`, and hardly a purr. **Tierklinik Aare** is open until 18:00."
    return SentConversation(
        CAT,
        [
            Message("user", [Part("text", "Is my cat well?"), Part("image_url", photo)]),
            text("assistant", well),
            Message("user", [Part("text", "Does this purr sound right?"), Part("audio", sound)]),
            Message("assistant", [Part("text", "")], {"tool_calls": asks}),
            Message("tool", [Part("text", answer)], {"tool_call_id": "call_1"}),
            Message("tool", [Part("text", failure)], {"tool_call_id": "call_2"}),
            text("assistant", aare),
            text("user", "Remind me of her water every four hours."),
            text("assistant", REMINDER),
            text("user", "كم مرة تشرب القطة الماء؟"),
            text("assistant", "请随时给她准备新鲜的水。"),
        ],
    )


def small_talks(days: int, seed: int) -> Iterator[tuple[SentConversation, datetime]]:
    """Conversations of the last days with their start times; more of them on working days."""
    now = datetime.now(UTC)
    for ago in range(days, 0, -1):
        day = now - timedelta(days=ago)
        for n in range(WEEK[day.weekday()] * (60 - ago) // 45):
            which = ago * 7 + n * 3 + seed
            question, answer = TALKS[which % len(TALKS)]
            said = [text("user", question), text("assistant", answer), text("user", "Thank you!")]
            talk = SentConversation(
                f"user-{4000 + which * 37 % 900}/{ago:02}-{n}", said[: 2 + which % 2]
            )
            yield talk, day - timedelta(hours=n, minutes=which * 7 % 60)


def fill(service: Service, photo: str) -> None:
    for days, memory, seed in ((45, MEMORY, 0), (12, OTHER_MEMORY, 5)):
        for talk, begun in small_talks(days, seed):
            say(service, talk, memory)
            date_back(service, talk, begun, timedelta(minutes=1), FILES[memory])
    say(service, the_cat(photo), MEMORY)


def addresses(service: Service) -> dict[str, str]:
    return {
        "first page": f"{service.url}/admin/",
        "list": list_of(service),
        "transcript": f"{transcript_of(service, SentConversation(CAT, []))}",
        "search": f"{list_of(service)}search/?q=water",
    }


def take_handed_over(page: Page, service: Service, folder: Path) -> None:
    """The page that an export makes, opened from its file."""
    page.goto(addresses(service)["transcript"])
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export: page to hand over").click()
    file = folder / "handed-over.html"
    download.value.save_as(file)
    take(page, file.as_uri(), "handed-over")


def take(page: Page, address: str, name: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}.png")
    print(f"docs/images/{name}.png")  # noqa: T201 - long work shows progress


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_memory(folder / "models", MEMORY, tools("filesys"))
        elsewhere = tools("sql", url=f"sqlite:///{folder / FILES[OTHER_MEMORY]}")
        write_memory(folder / "models", OTHER_MEMORY, elsewhere)
        with Service(folder, MODELS_DIR=str(folder / "models")) as service:
            fill(service, small_photo())
            make_user(service, "ada", PASSWORD, superuser=True)
            with sync_playwright() as playwright, launched(playwright) as browser:
                for look, names in LOOKS.items():
                    with look.context(browser) as context:
                        page = context.new_page()
                        sign_in(page, service.url, "ada", PASSWORD)
                        for name, page_of in names.items():
                            take(page, addresses(service)[page_of], name)
                with LIGHT.context(browser) as context:
                    page = context.new_page()
                    sign_in(page, service.url, "ada", PASSWORD)
                    take_handed_over(page, service, folder)


def tools(database: str, **config: Any) -> dict[str, Any]:
    return {"database": database, "config": {"tensor_names": TOOLS, **config}}


if __name__ == "__main__":
    main()
