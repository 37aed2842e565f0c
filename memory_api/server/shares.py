"""Which share of the threads a request may take, judged before anything is parsed.

Health probes have a thread of their own. Sign-ins, the admin and each conversation may take a
part of the threads only, so that none of them keeps the others out.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

from gunicorn import util

from convstore.path_prefix import path_below_prefix
from memory_api.server.incoming import IncomingRequest
from memory_api.server.queue import Group

HEALTH = re.compile(r"/v2/health/(live|ready)/?")
SIGN_IN = "/admin/login/"
ADMIN = "/admin/"
INFER = re.compile(r"/v2/models/.+/infer/?")
# At the Conversations API its id is in the path.
CONVERSATION = re.compile(r"(?:/memories/[^/]+)?/v1/conversations/([^/]+)")
LOOK_AT = 64 * 1024
ANY_HEADER = 32 + zlib.MAX_WBITS  # gzip's or zlib's
MEMORY_ID = b'"memory_id"'
# From there, in what most clients send, the id stands within a few fields.
ID_AFTER_NAME = re.compile(rb'.{0,300}?"data"\s{0,8}:\s{0,8}\[{1,2}\s{0,8}"(.{1,300}?)"', re.DOTALL)


def is_health(message: Any) -> bool:
    return HEALTH.fullmatch(_path_of(message)) is not None


def group_of(incoming: IncomingRequest, threads: int) -> Group | None:
    path = _path_of(incoming.message)
    half = max(1, threads // 2)
    if path == SIGN_IN and incoming.message.method == "POST":
        return Group(SIGN_IN, 1)
    if path.startswith(ADMIN):
        return Group(ADMIN, half)
    conversation = conversation_hint(incoming, path)
    if conversation:
        return Group(f"memory_id {conversation}", half)
    # Or many of them could keep everybody out with what is long to read and names nobody.
    return Group("memory_id unknown", half) if INFER.fullmatch(path) else None


def _path_of(message: Any) -> str:
    """The path as Django will see it, without percent-encoding and without SCRIPT_NAME."""
    return path_below_prefix(util.unquote_to_wsgi_str(message.path))


def conversation_hint(incoming: IncomingRequest, path: str) -> str:
    """The memory_id, if it is found at a glance. A wrong guess costs turns, never exactness."""
    if in_path := CONVERSATION.match(path):
        return in_path[1]
    start = _beginning(incoming)
    at = start.find(MEMORY_ID)
    if at < 0:
        return ""
    found = ID_AFTER_NAME.match(start, at)
    return found[1].decode("latin-1") if found else ""


def _beginning(incoming: IncomingRequest) -> bytes:
    """The first LOOK_AT bytes of the body, without its compression."""
    start = incoming.body.read(LOOK_AT)
    incoming.body.seek(0)
    if not any(name == "CONTENT-ENCODING" for name, _ in incoming.message.headers):
        return start
    try:
        return zlib.decompressobj(ANY_HEADER).decompress(start, LOOK_AT)
    except zlib.error:
        return b""
