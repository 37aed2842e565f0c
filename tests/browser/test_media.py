"""The images and audio of the tests exist and have the signatures of their types."""

from __future__ import annotations

import pytest

from tests.browser.media import GIF, JPEG, MP3, PNG, WAV, media

# How a file begins, so that a browser knows it. MP3: with tags before it, or at once.
BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": PNG,
    b"\xff\xd8\xff": JPEG,
    b"GIF89a": GIF,
    b"RIFF": WAV,
    (b"ID3", b"\xff\xfb", b"\xff\xf3"): MP3,
}


@pytest.mark.needs("media")
@pytest.mark.parametrize(
    ("name", "beginning"), [(name, key) for key, names in BEGINNINGS.items() for name in names]
)
def test_a_file_begins_with_its_signature(name, beginning):
    assert media(name).startswith(beginning)
