"""The pages of the documentation: their blocks, links, tables and generated parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"(?:#|--) needs: (.+)")
FILE = re.compile(r"# ([\w.-]+\.\w+)")
GENERATED = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A code block under a heading. `needs` is what its first line says that it needs, or empty."""

    page: Path
    line: int
    heading: str
    language: str
    text: str

    @property
    def needs(self) -> str:
        found = NEEDS.fullmatch(self.text.partition("\n")[0])
        return found[1] if found else ""

    @property
    def file(self) -> str:
        """The file that the reader saves it as, where its first line is a name."""
        found = FILE.fullmatch(self.text.partition("\n")[0])
        return found[1] if found else ""

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, start := found.start()) + 1,
            heading(text[:start]),
            *found.groups(),
        )
        for found in FENCE.finditer(text)
    ]


def heading(text: str) -> str:
    """The last heading in a text that blocks may be in."""
    found: list[str] = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return found[-1] if found else ""


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text())


def section(page: str, heading: str) -> str:
    """What stands under `heading`, without code, down to the next heading of its level or above."""
    text = prose(ROOT / page)
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found, f"{page} has no heading {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> Iterator[list[str]]:
    """The rows of the tables in `text`, without headings."""
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        for row in table.splitlines()[2:]:
            yield [cell.strip() for cell in row.strip("|").split("|")]


def words(cell: str) -> list[str]:
    """The words in code that a cell holds."""
    return re.findall(r"`([^`]+)`", cell)


def anchors(page: Path) -> set[str]:
    """The headings of a page as addresses, in GitHub's spelling."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-"))
    return found
