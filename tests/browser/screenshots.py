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

from tests.service import ROOT, TOOLS, Service, write_memory

if not settings.configured:
    import os

    os.environ["DJANGO_SETTINGS_MODULE"] = "convstore.settings"
    django.setup()

from convstore.messages import Message, Part
from tests.browser.browser import (
    DARK,
    LIGHT,
    PASSWORD,
    PHONE,
    launched,
    make_user,
    sign_in,
)
from tests.browser.conversations import Talk, call, date_back, list_of, say, text, transcript_of
from tests.browser.media import media

FOLDER = ROOT / "docs" / "images"
# By how it is looked at: a picture's name, and the page that is in it.
LOOKS = {
    LIGHT: {"first-page": "first page", "list": "list", "search": "search"},
    replace(LIGHT, height=1250): {"transcript": "transcript"},
    replace(DARK, height=1250): {"transcript-dark": "transcript"},
    PHONE: {"transcript-phone": "transcript"},
}
MEMORY = "assistant"
TOPICS = (
    "How do I keep basil alive indoors?",
    "Translate 'see you on Tuesday' into Portuguese.",
    "Why does my bread not rise?",
    "ما هي عاصمة المغرب؟",
    "请用一句话解释什么是数据库。",
    "Plan three days in Lisbon with a toddler.",
    "What is the difference between TCP and UDP?",
    "Write a limerick about a lighthouse.",
)


def tone(seconds: float = 2, hertz: float = 440) -> bytes:
    """A WAV file of one tone, which nobody has a right in."""
    rate = 8000
    samples = (math.sin(2 * math.pi * hertz * n / rate) for n in range(int(seconds * rate)))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(rate)
        sound.writeframes(bytes(int(127 + 100 * sample) for sample in samples))
    return file.getvalue()


def the_cat() -> Talk:
    photo = base64.b64encode(media("skimage/data/chelsea.png")).decode()
    sound = base64.b64encode(tone()).decode()
    asks = call("call_1", "veterinarians", city="Bern", open="today")
    answer = json.dumps([{"name": "Tierklinik Aare", "until": "18:00"}])
    return Talk(
        "user-4711/cat",
        [
            text("system", "You are a friendly assistant. Answer briefly."),
            Message("user", [Part("text", "Is my cat well?"), Part("image", photo)]),
            text("assistant", "She looks well: bright eyes, a clean nose, a calm face."),
            Message(
                "user", [Part("text", "And does this purr sound right?"), Part("audio", sound)]
            ),
            Message("assistant", [Part("text", "")], {"tool_calls": [asks]}),
            Message("tool", [Part("text", answer)], {"tool_call_id": "call_1"}),
            text(
                "assistant",
                "That is one tone of 440 Hz, and hardly a purr. If you are worried:\n\n"
                "| who | until |\n|---|---|\n| **Tierklinik Aare** | 18:00 |\n\n"
                "Ring before you go.",
            ),
        ],
    )


def small_talks() -> Iterator[Talk]:
    for n in range(60):
        question = TOPICS[n * 5 % len(TOPICS)]
        said = [text("user", question), text("assistant", "Gladly."), text("user", "Thank you!")]
        yield Talk(f"user-{4000 + n * 37 % 900}/chat-{n:02}", said[: 1 + n % 3])


def fill(service: Service) -> None:
    """Two months of conversations, more of them on working days."""
    now = datetime.now(UTC)
    for n, talk in enumerate(small_talks()):
        say(service, talk, MEMORY)
        begun = now - timedelta(days=(n * n) % 31, hours=n % 9, minutes=7 * n)
        date_back(service, talk, begun, timedelta(minutes=1))
    say(service, the_cat(), MEMORY)


def addresses(service: Service) -> dict[str, str]:
    return {
        "first page": f"{service.url}/admin/",
        "list": list_of(service),
        "transcript": f"{transcript_of(service, the_cat())}?markdown=1",
        "search": f"{list_of(service)}search/?q=lighthouse",
    }


def take(page: Page, address: str, name: str) -> None:
    page.goto(address)
    for call_of_a_tool in page.locator("details.call").all():
        call_of_a_tool.locator("summary").click()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}.png")
    print(f"docs/images/{name}.png")  # noqa: T201 - long work shows progress


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_memory(folder / "models", MEMORY, tools("filesys"))
        write_memory(
            folder / "models", "support", tools("sql", url=f"sqlite:///{folder}/support.db")
        )
        with Service(folder, MODELS_DIR=str(folder / "models")) as service:
            fill(service)
            make_user(service, "ada", PASSWORD, superuser=True)
            with sync_playwright() as playwright, launched(playwright) as browser:
                for look, names in LOOKS.items():
                    with look.context(browser) as context:
                        page = context.new_page()
                        sign_in(page, service.url, "ada", PASSWORD)
                        for name, page_of in names.items():
                            take(page, addresses(service)[page_of], name)


def tools(database: str, **config: Any) -> dict[str, Any]:
    return {"database": database, "config": {"tensor_names": TOOLS, **config}}


if __name__ == "__main__":
    main()
