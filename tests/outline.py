"""What an HTML text holds, and whether a Markdown text would act where all HTML passes."""

from __future__ import annotations

from html.parser import HTMLParser

from markdown_it import MarkdownIt

BLOCKS = {"p", "br", "hr", "blockquote", "ul", "ol", "li", "pre", "h1", "h2", "h3", "h4", "h5"}
PLAIN = BLOCKS | {"h6", "em", "strong", "code"}
# The most permissive reader of Markdown: HTML passes, and so does every scheme.
READER = MarkdownIt("commonmark", {"html": True})
READER.validateLink = lambda url: True  # type: ignore[method-assign]


class Outline(HTMLParser):
    """The tags of an HTML text, each with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.others: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)


def assert_nothing_acts(markdown: str) -> None:
    outline = Outline(READER.render(markdown))
    active = [tag for tag, _ in outline.tags if tag not in PLAIN]
    assert (active, outline.others) == ([], [])
    for tag, attributes in outline.tags:
        assert set(attributes) <= ({"class"} if tag == "code" else {"start"})
