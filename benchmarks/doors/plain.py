"""The floor of the HTTP door: a plain Django view, no middleware, orjson, a hand-written store.

`gunicorn benchmarks.doors.plain:application`; STORE is a store's MODULE:CLASS, STORE_URL its URL.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import orjson
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.child import opened
from benchmarks.scenario import Session, TextMessage

settings.configure(ROOT_URLCONF=__name__, MIDDLEWARE=[], ALLOWED_HOSTS=["*"])

store = opened(os.environ["STORE"], os.environ["STORE_URL"])
local = threading.local()


def session() -> Session:
    if not hasattr(local, "session"):
        local.session = store.session()
    kept: Session = local.session
    return kept


def infer(request: HttpRequest, model: str) -> HttpResponse:
    document = orjson.loads(request.body)
    tensors = {tensor["name"]: tensor["data"] for tensor in document["inputs"]}
    window = document["parameters"]["window_size"]
    (memory_id,) = tensors["memory_id"]
    if "role" in tensors:
        message = TextMessage(tensors["role"][0], tensors["type"][0], tensors["content"][0])
        history = session().append(memory_id, message, window)
    else:
        history = session().read(memory_id, window)
    outputs = [output("memory_id", [memory_id]), output("history", history)]
    answer = orjson.dumps({"model_name": model, "outputs": outputs})
    headers = {"Content-Type": "application/json", "Content-Length": str(len(answer))}
    return HttpResponse(answer, headers=headers)


def output(name: str, data: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "shape": [len(data), 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "str"},
        "data": data,
    }


def live(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [path("v2/health/live", live), path("v2/models/<model>/infer", infer)]
application = get_wsgi_application()
