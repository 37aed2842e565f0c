"""The docs are true: commands exist, settings are all there, examples run as printed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from convstore.archive.erasure import BATCH
from convstore.archive.history import PIECE, PIECE_BYTES
from convstore.archive.overview import COUNTED, COUNTED_NEW, DAYS, SAMPLE
from convstore.archive.search import BEGINNING, CONVERSATIONS, LAST_MESSAGES, MESSAGES_READ
from inspection.lists import KeysetAdmin
from inspection.markdown import LONGEST
from inspection.media import SIGNATURES
from inspection.transcript import LONGEST_SHOWN
from inspection.views.deleting import DELETING_SECONDS, MOST_SELECTED
from memory_api.memories import CONFIG_FIELDS, from_settings
from tests.service import SHIPPED_MODELS, Service

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def column(heading: str) -> set[str]:
    """The words in code in the first column of the table under `heading`."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


@pytest.fixture(scope="module")
def seed_service(tmp_path_factory):
    """The service as it comes, with nothing configured."""
    with Service(tmp_path_factory.mktemp("readme")) as service:
        yield service


def test_the_python_example_prints_what_the_readme_says(seed_service):
    (example,) = blocks("python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(example.replace("http://localhost:8080", seed_service.url), {})  # noqa: S102
    assert printed.getvalue() in blocks("")


def test_the_curl_example_answers(seed_service):
    (command,) = [text for text in blocks("sh") if text.startswith("curl")]
    pipe = os.popen(command.replace("http://localhost:8080", seed_service.url))  # noqa: S605
    with pipe:
        assert json.load(pipe)["model_name"] == "filesys-memory"


def test_the_settings_example_is_the_file_that_ships(root):
    (example,) = blocks("json")
    shipped = json.loads((SHIPPED_MODELS / "filesys-memory/model-settings.json").read_text())
    assert json.loads(example) == shipped
    assert from_settings(json.loads(example), "README.md").name == "filesys-memory"


def test_every_setting_is_in_the_table_and_the_table_has_no_other(root):
    code = (root / "convstore/settings.py").read_text()
    read = set(re.findall(r'(?:os\.environ\.\w+|positive|listed)\(\s*"(\w+)"', code))
    assert column("Settings") == read


def test_every_field_of_a_memory_is_in_the_table_and_the_table_has_no_other():
    fields = {field for names in CONFIG_FIELDS.values() for field in names}
    assert column("Memories") - {"config", "filesys", "sql"} == fields


def test_every_make_target_that_the_docs_name_is_there(root):
    targets = set(re.findall(r"^([\w-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    texts = README + (root / "CONTRIBUTING.md").read_text() + (root / "CHANGELOG.md").read_text()
    texts += (root / "docs/howto/admin.md").read_text()
    assert set(re.findall(r"`(?:\w+=\S+ )*make ([\w-]+)", texts)) <= targets
    assert {"serve", "test", "lint", "format", "bench", "bench-admin", "replay"} <= targets


def test_links_to_files_lead_somewhere(root):
    for page in (*root.glob("*.md"), *root.glob("docs/**/*.md")):
        for path in re.findall(r"\]\((?!http)([^)#\s]+)\)", page.read_text()):
            assert (page.parent / path).exists(), f"{page}: {path}"


def test_what_the_page_on_the_admin_says_in_numbers_is_so(root):
    text = " ".join((root / "docs/howto/admin.md").read_text().split())
    for sentence in (
        f"up to {PIECE} messages, or {PIECE_BYTES // 1024**2} MiB of them",
        f"texts of up to {LONGEST:,} characters",
        f"the first {LONGEST_SHOWN:,} characters of it",
        f"all of it, {MESSAGES_READ:,} messages at a time",
        f"a full-text index of the first {BEGINNING:,} characters",
        f"the last {LAST_MESSAGES} messages of up to {CONVERSATIONS} conversations, "
        f"{MESSAGES_READ:,} messages at a time",
        f"up to {MOST_SELECTED} from the list",
        f"at most {KeysetAdmin.list_per_page} conversations",
        f"{BATCH} in a transaction",
        f"longer than {DELETING_SECONDS} seconds",
        f"exact up to {COUNTED:,} and then",
        f"exact up to {COUNTED_NEW:,} in {DAYS} days",
        f"a sample of {SAMPLE:,} conversations",
    ):
        assert sentence in text, sentence
    assert "five failed attempts" in text
    assert settings.AXES_FAILURE_LIMIT == 5
    assert "a quarter of an hour" in text
    assert timedelta(minutes=15) == settings.AXES_COOLOFF_TIME
    formats = {mime.split("/")[1] for _, _, mime, _ in SIGNATURES}
    assert formats == {"png", "jpeg", "gif", "webp", "avif", "wav", "mpeg", "ogg", "flac", "mp4"}
    assert "PNG, JPEG, GIF, WebP and AVIF images and WAV, MP3, Ogg, FLAC and M4A audio" in text


def test_every_permission_that_the_page_on_the_admin_names_is_there(root):
    text = (root / "docs/howto/admin.md").read_text()
    found = re.findall(r"^\| `(\w+)\.(\w+)` \| (Can \w+ [\w ]+) \|", text, re.MULTILINE)
    assert len(found) == 4
    for app, codename, name in found:
        action, model = codename.split("_")
        permission = apps.get_model(app, model)._meta
        assert action in permission.default_permissions
        assert name == f"Can {action} {permission.verbose_name}"


def test_the_rooms_that_contributing_names_are_there(root):
    text = (root / "CONTRIBUTING.md").read_text()
    for path in re.findall(
        r"`((?:convstore|inspection|memory_api|mlserver_bridge)/\w+\.py)`", text
    ):
        assert (root / path).is_file()


def test_every_extra_that_the_docs_name_is_there(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    texts = README + (root / "docs/howto/sql-server-and-oracle.md").read_text()
    assert set(re.findall(r"-e '\.\[(\w+)\]'", texts)) == set(project["optional-dependencies"])
