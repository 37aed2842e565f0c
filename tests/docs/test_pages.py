"""The pages lead to each other, use the project's words, and their blocks are well-formed."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import (
    LINK,
    PAGES,
    ROOT,
    Block,
    all_blocks,
    anchors,
    name,
    prose,
    rows,
    section,
)

BLOCKS = all_blocks()
LANGUAGES = {"", "text", "sh", "python", "json", "yaml", "sql", "nginx", "haproxy"}
# Older names of the product and of its actions.
OTHER_WORDS = ("take away", "taken away", "took away", "ConvStore", "conversation store's")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{name(page)}: {link}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        paths = (link.partition("#")[0] for link in LINK.findall(prose(page)))
        targets = ((page.parent / path).resolve() for path in paths if path and ":" not in path)
        left += [target for target in targets if target.is_file()]
    # The changelog is for who upgrades; GitHub itself links it and SECURITY.md.
    assert set(PAGES) - reached == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_pages_use_the_projects_words(page: Path) -> None:
    text = " ".join(prose(page).split())
    for word in OTHER_WORDS:
        assert word not in text


def test_every_decision_is_in_the_index_and_has_the_form() -> None:
    folder = ROOT / "docs/decisions"
    listed = {
        LINK.findall(row[1])[0]: (row[0], row[1])
        for row in rows((folder / "README.md").read_text())
    }
    files = {path.name: path.read_text() for path in folder.glob("0*.md")}
    assert set(listed) == set(files)
    for file, text in files.items():
        number, title = listed[file]
        assert int(file[:4]) == int(number)
        assert text.startswith(f"# {number}. ")
        assert title.startswith(f"[{text.partition('. ')[2].partition(chr(10))[0]}]")
        for part in ("**Context.**", "**Decision.**", "**Price.**"):
            assert part in text, f"{file} has no {part}"


def test_every_test_that_a_page_names_is_there() -> None:
    named = [
        word for page in PAGES for word in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", prose(page))
    ]
    assert named
    for file, test in named:
        assert f"\ndef {test}(" in (ROOT / file).read_text(), test


# --- Blocks ------------------------------------------------------------------------------


def test_what_a_block_may_need_is_explained() -> None:
    explained = {row[0] for row in rows(section("docs/README.md", "How to read the examples"))}
    assert {block.needs for block in BLOCKS if block.needs} == explained


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_is_well_formed(block: Block) -> None:
    assert block.language in LANGUAGES
    if block.language == "sh":
        checked = subprocess.run(
            ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
    elif block.language == "python":
        ast.parse(block.text)
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "yaml":
        assert list(yaml.safe_load_all(block.text))
