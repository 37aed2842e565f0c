"""The names of a request's headers, or of gRPC's metadata: which would be dropped in silence.

Others may have any name, since proxies add their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from memory_api.did_you_mean import refuse_misspelt
from memory_api.errors import BadRequest

IF_MATCH = "if-match"
# RFC 9110: the request is to be done only if they hold. If-Range is no such header.
PRECONDITIONS = frozenset({IF_MATCH, "if-none-match", "if-modified-since", "if-unmodified-since"})
KNOWN = ("Idempotency-Key", "Content-Encoding", "Inference-Header-Content-Length")
# Read, or said of each body: no other name is compared with them.
PASSED = frozenset({*map(str.lower, KNOWN), "content-type", "content-length"})
# One wrong letter leaves one of these in the name. All others are not compared.
BEGINNINGS = ("if-", "idem", "x-idem", "content-e", "inference-")
END = "key"


def check_header_names(names: Iterable[str], honoured: Collection[str] = ()) -> None:
    """Refuse a header that is nearly a known one, and a precondition that is not honoured.

    Raises BadRequest.
    """
    for name in map(str.lower, names):
        if name.startswith(BEGINNINGS) or name.endswith(END):
            _check(name, honoured)


def _check(name: str, honoured: Collection[str]) -> None:
    if name in PRECONDITIONS and name not in honoured:
        raise BadRequest(f"header '{name}' is not supported here; send the request without it")
    if name not in PASSED:
        refuse_misspelt([name], KNOWN, "header")
        # The prefix of headers that were not in a standard.
        refuse_misspelt([name.removeprefix("x-")], KNOWN, "header")
