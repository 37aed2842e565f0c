"""Every reason for a failure has a status at the HTTP door; any other error is a 500."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

import pytest
from django.test import RequestFactory

import memory_api
from convstore.errors import DatabaseUrlError, IdentityClash, StoreError, Unavailable
from memory_api.errors import BadRequest, RequestError, SettingsError
from memory_api.http_errors import error_response
from memory_api.tables import TablesNotReady

SENTENCE = "what was wrong"
# Raised while a memory's settings are read, before there is a request. Their texts are for the
# operator, not for clients.
FOR_OPERATORS: set[type[Exception]] = {SettingsError, DatabaseUrlError}


def subclasses(base: type[Exception]) -> Iterator[type[Exception]]:
    for subclass in base.__subclasses__():
        if not subclass.__module__.startswith("tests."):
            yield subclass
        yield from subclasses(subclass)


for module in walk_packages(memory_api.__path__, "memory_api."):
    import_module(module.name)
REASONS: set[type[Exception]] = {SettingsError}.union(
    *map(subclasses, (RequestError, StoreError, SettingsError))
)


def name_of(reason: type[Exception]) -> str:
    return reason.__name__


def answer(error: Exception) -> tuple[int, str, dict[str, str]]:
    request = RequestFactory().get("/v2/models/m", headers={"X-Request-Id": "the-id"})
    response = error_response(error, {"request": request})
    return response.status_code, json.loads(response.content)["error"], dict(response.headers)


def test_the_reasons_are_found():
    assert {BadRequest, IdentityClash, TablesNotReady} <= REASONS


@pytest.mark.parametrize("reason", sorted(REASONS - FOR_OPERATORS, key=str), ids=name_of)
def test_a_reason_has_a_status_and_its_sentence_is_shown(reason):
    status, sentence, _ = answer(reason(SENTENCE))

    assert sentence == SENTENCE, f"{reason.__name__} has no status in http_errors.STATUSES"
    assert 400 <= status < 600


@pytest.mark.parametrize(
    "reason", [SettingsError, DatabaseUrlError, RequestError, StoreError, ValueError]
)
def test_any_other_error_is_a_500_whose_text_only_the_log_has(reason, caplog):
    status, sentence, _ = answer(reason(SENTENCE))

    assert status == 500
    assert sentence == "the server failed; its log has the details under request id the-id"
    assert SENTENCE in caplog.text
    assert "request id the-id failed: GET '/v2/models/m'" in caplog.text


def test_a_more_special_reason_is_answered_as_the_one_it_derives_from():
    class NoSuchTensor(BadRequest):
        pass

    class Standby(TablesNotReady):
        pass

    assert answer(NoSuchTensor(SENTENCE))[:2] == (400, SENTENCE)
    assert answer(Standby(SENTENCE))[:2] == (503, SENTENCE)


def test_a_databases_own_error_is_in_the_log_on_one_line_and_not_in_the_answer(caplog):
    error = Unavailable(SENTENCE)
    error.__cause__ = ValueError("could not connect\n\tto server")

    status, sentence, headers = answer(error)

    assert (status, sentence) == (503, SENTENCE)
    assert int(headers["Retry-After"]) >= 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == f"GET '/v2/models/m': {SENTENCE}: could not connect to server"


def test_a_clash_of_two_ids_is_an_error_in_the_log(caplog):
    assert answer(IdentityClash(SENTENCE))[:2] == (500, SENTENCE)

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message == f"GET '/v2/models/m': {SENTENCE}"


def test_a_clients_fault_is_not_logged(caplog):
    answer(BadRequest(SENTENCE))

    assert not caplog.records
