"""The type of a part is found by its bytes."""

from __future__ import annotations

import base64
import json

import pytest

from convstore.media import link_of, media_of
from convstore.messages import Part
from tests.browser.media import GIF, JPEG, MP3, PNG, WAV, media

KINDS = {
    "image/png": PNG,
    "image/jpeg": JPEG,
    "image/gif": GIF,
    "audio/wav": WAV,
    "audio/mpeg": MP3,
}
NAMES = [(mime, name) for mime, names in KINDS.items() for name in names]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.needs("media")
@pytest.mark.parametrize(("mime", "name"), NAMES)
def test_real_images_and_audio_are_recognized_by_their_bytes(mime, name):
    data = media(name)
    url = f"data:text/html;base64,{encoded(data)}"
    for value in (
        encoded(data),
        url,
        json.dumps({"url": url}),
        json.dumps({"data": encoded(data)}),
    ):
        for kind in ("image", "audio", "image_url", "input_audio", "whatever"):
            found = media_of(Part(kind, value))
            assert found
            assert (found.data, found.mime) == (data, mime)
            assert found.kind == mime.split("/")[0]


def test_an_image_and_a_file_of_an_item_are_what_their_bytes_are():
    url = f"data:image/gif;base64,{encoded(b'GIF89a...')}"
    image = {"type": "input_image", "image_url": url, "detail": "auto", "file_id": None}
    found = media_of(Part("input_image", json.dumps(image)))
    assert found
    assert (found.kind, found.data) == ("image", b"GIF89a...")
    file = {"type": "input_file", "file_data": encoded(b"%PDF-1.7"), "filename": "a.pdf"}
    found = media_of(Part("input_file", json.dumps(file)))
    assert found
    assert (found.kind, found.name) == ("file", "a.pdf")
    linked = {**image, "image_url": "https://e.org/a.png"}
    assert link_of(Part("input_image", json.dumps(linked))) == "https://e.org/a.png"
    assert link_of(Part("input_image", json.dumps({**linked, "file_id": "file-1"}))) is None
    twice = json.dumps(linked).replace("{", '{"image_url": "https://e.org/b.png", ', 1)
    assert link_of(Part("input_image", twice)) is None


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


@pytest.mark.parametrize("data", [SVG, b"<html><script>alert(1)</script>", b"%PDF-1.7", b"PK\3\4 "])
@pytest.mark.parametrize("claimed", ["image/png", "image/svg+xml", "text/html", "audio/mpeg"])
def test_other_bytes_are_a_file_whatever_the_part_claims(data, claimed):
    for value in (f"data:{claimed};base64,{encoded(data)}", encoded(data)):
        found = media_of(Part("image", value))
        assert found
        assert (found.kind, found.mime, found.data) == ("file", "application/octet-stream", data)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", encoded(SVG)),
        ("text", "data:image/png;base64,iVBORw0KGgo="),
        ("json", "true"),
        ("code", "abcd"),
        ("image", "not base64!"),
        ("image", ""),
        ("image", "data:image/png;base64,"),
        ("image_url", "https://example.org/a.png"),
        ("image_url", '{"url": 5}'),
        ("image_url", '{"url": "https://example.org/a.png"}'),
        ("image_url", "{broken"),
        ("image_url", "{" * 100_000),
    ],
)
def test_a_value_that_is_not_base64_is_text(kind, value):
    assert media_of(Part(kind, value)) is None


@pytest.mark.needs("media")
def test_base64_may_contain_line_breaks():
    found = media_of(Part("image", base64.encodebytes(media(JPEG[0])).decode()))
    assert found
    assert found.data == media(JPEG[0])


@pytest.mark.parametrize(
    ("kind", "value", "link"),
    [
        ("image_url", "https://example.org/a.png", "https://example.org/a.png"),
        ("image_url", '{"url": "http://example.org/"}', "http://example.org/"),
        ("text", "https://example.org/a.png", None),
        ("image_url", "javascript:alert(1)", None),
        ("image_url", "https://example.org/ and more", None),
        ("image_url", "https://example.org/\"onerror='x'", None),
        ("image_url", "file:///etc/passwd", None),
    ],
)
def test_only_a_web_url_is_a_link(kind, value, link):
    assert link_of(Part(kind, value)) == link


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\new\\a b.txt", "a b.txt"),
        ("cod\u202efdp.exe", "cod[U+202E]fdp.exe"),
        ("a\nb.txt", "a b.txt"),
        (5, ""),
        ("..", ""),
    ],
)
def test_a_file_keeps_the_name_and_type_that_the_message_says(filename, name):
    url = f"data:application/pdf;base64,{encoded(b'%PDF-1.7')}"
    found = media_of(Part("file", json.dumps({"filename": filename, "file_data": url})))
    assert found
    assert (found.name, found.declared_type) == (name, "application/pdf")
    assert found.extension == "pdf"
    assert found.mime == "application/octet-stream"
