"""The text of an API key: made, read from a header, and hashed.

A key is `cs_`, twelve hexadecimal digits, `_` and 256 random bits. People see the part before the
second `_`, by which the key is found; the rest is the secret.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from typing import NamedTuple

SECRET_BYTES = 32
PREFIX_PATTERN = r"cs_[0-9a-f]{12}"
AUTHORIZATION = re.compile(rf"(?i:bearer) +(({PREFIX_PATTERN})_[\w-]{{43}})", re.ASCII)


class Token(NamedTuple):
    """A key's text, and the part of it that people see."""

    text: str
    prefix: str


def new_token() -> Token:
    prefix = f"cs_{secrets.token_hex(6)}"
    return Token(f"{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}", prefix)


def read_token(authorization: str | None) -> Token | None:
    """The key in an `Authorization` header; None if there is none, or nothing like a key."""
    found = AUTHORIZATION.fullmatch(authorization or "")
    return Token(*found.groups()) if found else None


def digest_of(text: str) -> bytes:
    """What is stored in place of the key.

    Passwords need a slow hash, because people choose ones that can be guessed. Nobody guesses 256
    random bits, so SHA-256 is enough, and costs a request a microsecond.
    """
    return sha256(text.encode()).digest()
