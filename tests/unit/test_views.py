"""What a view leaves behind when its reply is made."""

from __future__ import annotations

import gc

import pytest
from django.test import RequestFactory
from django.urls import resolve
from rest_framework.request import Request

from memory_api.views import V2View


def requests_and_views() -> list[Request | V2View]:
    return [each for each in gc.get_objects() if isinstance(each, Request | V2View)]


@pytest.mark.parametrize("body", ["{", '{"ready": 1}'], ids=["no JSON", "refused"])
def test_a_request_is_gone_before_the_garbage_collector_comes(body: str) -> None:
    gc.collect()
    gc.disable()
    before = set(map(id, requests_and_views()))
    try:
        request = RequestFactory().post("/v2/repository/index", body, "application/json")
        assert resolve(request.path).func(request).status_code == 400
        left = [each for each in requests_and_views() if id(each) not in before]
    finally:
        gc.enable()
    assert left == []
