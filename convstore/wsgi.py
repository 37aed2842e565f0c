"""The entry point of WSGI servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convstore.settings")

django_application = get_wsgi_application()
# Django imports the views with the first request; a worker's first client would wait for it.
get_resolver().url_patterns  # noqa: B018


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Django's application. It also reads chunked bodies, and sends none in reply to HEAD.

    Chunked bodies come without a length, so Django would see them empty. Where the server marks
    their end itself (`wsgi.input_terminated`), any length that is long enough will do.
    """
    if environ.get("HTTP_TRANSFER_ENCODING") and environ.get("wsgi.input_terminated"):
        environ["CONTENT_LENGTH"] = str(sys.maxsize)
    response = django_application(environ, start_response)
    if environ["REQUEST_METHOD"] != "HEAD":
        return response
    # Django leaves it to the server to drop the body, and gunicorn logs a warning when it does.
    response.close()
    return []
