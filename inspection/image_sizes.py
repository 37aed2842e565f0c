"""How wide and how high an image is, from its first bytes."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping

Size = tuple[int, int]
# A larger one is a false claim: browsers show no such image.
MAX_PIXELS = 65_535
# AVIF has its size in a box of this type, which is near the beginning.
ISPE = re.compile(rb"ispe\x00{4}(.{8})", re.DOTALL)
MAX_AVIF_HEADER = 10_000
# JPEG: frame headers, which hold the size; and the marker after which there is none.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_SCAN = 0xDA


def image_size(data: bytes, mime: str) -> Size | None:
    """Width and height in pixels; None if the bytes do not say them."""
    try:
        size = READERS[mime](data)
    except (KeyError, struct.error, IndexError):
        return None
    return size if size and all(0 < pixels <= MAX_PIXELS for pixels in size) else None


def _png(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _jpeg(data: bytes) -> Size | None:
    at = 2
    while data[at] == 0xFF and (marker := data[at + 1]) != JPEG_SCAN:
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None


def _avif(data: bytes) -> Size | None:
    found = ISPE.search(data[:MAX_AVIF_HEADER])
    if not found:
        return None
    width, height = struct.unpack(">II", found[1])
    return width, height


READERS: Mapping[str, Callable[[bytes], Size | None]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/gif": _gif,
    "image/webp": _webp,
    "image/avif": _avif,
}
