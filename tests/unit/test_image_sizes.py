"""The size of an image in pixels, from its bytes."""

from __future__ import annotations

import struct

import pytest

from inspection.image_sizes import image_size

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 451, 300)
GIF = b"GIF89a" + struct.pack("<HH", 14, 25)
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x04\x00\x00\xff\xc4\x00\x03\x00"
    b"\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 427, 640) + b"\x03"
)
VP8 = b"RIFF\x00\x00\x00\x00WEBPVP8 " + b"\x00" * 10 + struct.pack("<HH", 640, 0xC000 | 427)
VP8L = b"RIFF\x00\x00\x00\x00WEBPVP8L" + b"\x00" * 5 + struct.pack("<I", 639 | 426 << 14)
VP8X = b"RIFF\x00\x00\x00\x00WEBPVP8X" + b"\x00" * 8 + b"\x7f\x02\x00" + b"\xaa\x01\x00"
AVIF = (
    b"\x00\x00\x00\x1cftypavif" + b"\x00\x00\x00\x14ispe\x00\x00\x00\x00" + struct.pack(">II", 8, 9)
)


@pytest.mark.parametrize(
    ("data", "kind", "size"),
    [
        (PNG, "png", (451, 300)),
        (GIF, "gif", (14, 25)),
        (JPEG, "jpeg", (640, 427)),
        (VP8, "webp", (640, 427)),
        (VP8L, "webp", (640, 427)),
        (VP8X, "webp", (640, 427)),
        (AVIF, "avif", (8, 9)),
    ],
)
def test_the_header_of_an_image_says_its_size(data, kind, size):
    assert image_size(data, f"image/{kind}") == size
    for end in range(len(data)):
        image_size(data[:end], f"image/{kind}")  # raises nothing


def test_a_size_that_no_browser_shows_is_unknown():
    assert image_size(PNG[:16] + struct.pack(">II", 2**31, 1), "image/png") is None
    assert image_size(PNG[:16] + struct.pack(">II", 0, 1), "image/png") is None
    assert image_size(JPEG, "image/tiff") is None
    assert image_size(b"\xff\xd8\xff" + b"\xff" * 1000, "image/jpeg") is None
