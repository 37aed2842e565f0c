"""What stands between `<!-- generated: ... -->` and `<!-- end -->`, made out of the code."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import resolve
from gunicorn.config import LimitRequestFields, LimitRequestLine
from prometheus_client import Counter, Gauge, Histogram, Summary

from api_keys import errors as access_errors
from convstore import errors as store_errors
from convstore.archive import forks, index_search
from convstore.archive.days import AT_ONCE
from convstore.archive.erasure import BATCH
from convstore.archive.history import CHUNK_BYTES, CHUNK_MESSAGES
from convstore.archive.hits import MAX_HITS, MAX_HITS_OF_ONE
from convstore.archive.overview import COUNT_LIMIT, DAYS, NEW_COUNT_LIMIT, SAMPLE_SIZE
from convstore.archive.search import (
    LAST_MESSAGES,
    MAX_CONVERSATIONS,
    MAX_MESSAGES_READ,
)
from convstore.conf import migrate_command
from convstore.store import ConversationStore
from convstore.words import SEARCHED_CHARACTERS
from inspection.lists import ROWS_PER_PAGE
from inspection.markdown import MAX_RENDERED, MAX_RENDERED_ON_PAGE, SECONDS_PER_PAGE
from inspection.parts import MAX_SHOWN_CHARACTERS
from inspection.views.deleting import DELETING_SECONDS, MAX_SELECTED
from inspection.views.job_pages import PART_CONVERSATIONS, PART_MESSAGES
from memory_api import errors as request_errors
from memory_api import http_metrics, metrics
from memory_api.gunicorn import MAX_HEADER_BYTES
from memory_api.http_errors import bad_request, error_response, not_found
from memory_api.limits import (
    MAX_GZIP_MEMBERS,
    MAX_JSON_DEPTH,
    MAX_KEY_CHARACTERS,
    MAX_MEMORY_ID_LENGTH,
    MAX_TOOL_CALL_DEPTH,
    MAX_WINDOW_SIZE,
)
from memory_api.model_settings import memory_from_settings
from memory_api.server import refusals
from memory_api.state_metrics import StateCollector
from memory_api.tables import TablesNotReady
from tests.docs.pages import ROOT
from tests.peak import (
    BASE,
    PEAK_OF_A_REPLY,
    PEAK_OF_A_VALUE,
    PEAK_OF_CONTROL_CHARACTERS,
    PEAK_OF_TEXT,
)

MIB = 1024**2
SOMETHING = "…"


def table(*heading: str, rows: Iterable[Iterable[object]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


# --- HTTP --------------------------------------------------------------------------------


def answered(path: str) -> HttpResponse:
    """What the view of `path` answers to GET, past all middleware."""
    request = RequestFactory().get(path)
    request.resolver_match = match = resolve(path)
    response: Any = match.func(request, *match.args, **match.kwargs)
    answer: HttpResponse = response.render() if hasattr(response, "render") else response
    return answer


def routes() -> str:
    """The routes of the OpenAPI document, with the statuses that each may answer."""
    document = json.loads(answered("/v2/docs/openapi.json").content)
    found = [
        (f"`{method.upper()} {path}`", operation["summary"], ", ".join(operation["responses"]))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return table("route", "answers with", "statuses", rows=found)


def errors() -> str:
    """Every sentence with the status that the HTTP door gives it."""
    found = {
        (error_response(kind("x"), {"request": HttpRequest()}).status_code, sentence)
        for kind, sentence in sentences()
    }
    for reply in (
        answered("/v2/models/memory/infer"),
        bad_request(HttpRequest(), Exception()),
        not_found(HttpRequest(), Exception()),
    ):
        found.add((reply.status_code, json.loads(reply.content)["error"]))
    failed = request_errors.log_unexpected_error(None, "GET '/'", "the-id")
    rows = [*sorted(found), (500, failed.replace("the-id", SOMETHING))]
    return table(
        "status",
        "sentence",
        rows=sorted((status, text.replace("|", r"\|")) for status, text in rows),
    )


def subclasses(of: type[Exception]) -> Iterator[type[Exception]]:
    for kind in of.__subclasses__():
        yield kind
        yield from subclasses(kind)


KINDS = {
    kind.__name__: kind
    for base in (request_errors.RequestError, store_errors.StoreError, access_errors.AccessError)
    for kind in subclasses(base)
    if kind is not store_errors.DatabaseUrlError  # raised at the start, to no client
}


def sentences() -> Iterator[tuple[type[Exception], str]]:
    """Each sentence that a request can get, with the class that it is raised as."""
    for path in modules("api_keys", "convstore", "memory_api"):
        if path == Path(inspect.getfile(forks)):  # no route of V2 copies
            continue
        tree = ast.parse(path.read_text())
        texts = assigned_texts(tree)
        for call in calls(tree):
            for kind, text in raised(call, texts):
                # The HTTP door makes no tables.
                if not issubclass(kind, TablesNotReady) and re.search(r"\w", text):
                    # Where a text is named first, its name is put before such a sentence.
                    yield kind, re.sub(r"^(?=(has|is) )", f"{SOMETHING} ", text)


def modules(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def assigned_texts(tree: ast.AST) -> dict[str, str]:
    """The names in a module that are texts and are assigned once, with the text."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return {
        name: values[0].value
        for name, values in found.items()
        if len(values) == 1
        and isinstance(values[0], ast.Constant)
        and isinstance(values[0].value, str)
    }


def raised(call: ast.Call, texts: Mapping[str, str]) -> Iterator[tuple[type[Exception], str]]:
    called = ast.unparse(call.func)
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if called == "Fault" and "sentence" in keywords:
        named = keywords.get("error_class")
        kind = KINDS[named.id] if isinstance(named, ast.Name) else store_errors.Unavailable
        command = migrate_command(DEFAULT_DB_ALIAS)
        yield kind, spelled(keywords["sentence"], texts).format(migrate_command=command)
    elif called in KINDS and call.args:
        yield KINDS[called], spelled(call.args[0], texts)


def spelled(node: ast.expr, texts: Mapping[str, str]) -> str:
    """A text in the code, with SOMETHING for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(spelled(value, texts) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        return spelled(node.value, texts)
    return texts.get(node.id, SOMETHING) if isinstance(node, ast.Name) else SOMETHING


def limits() -> str:
    rows = [
        (
            "characters of a `memory_id`, counted as in UTF-16: an emoji is two",
            f"1 to {MAX_MEMORY_ID_LENGTH}",
            "400",
        ),
        ("characters of an idempotency key", f"1 to {MAX_KEY_CHARACTERS}", "400"),
        ("`window_size`", f"1 to {MAX_WINDOW_SIZE:,}", "400"),
        (
            "messages in a reply, and their bytes",
            f"`MAX_WINDOW`, by default {settings.MAX_WINDOW:,}, and `MAX_REPLY_BYTES`, by default"
            f" {settings.MAX_REPLY_BYTES:,}",
            "413",
        ),
        ("levels of a tool call's JSON", f"{MAX_TOOL_CALL_DEPTH}", "400"),
        ("levels of any JSON", f"{MAX_JSON_DEPTH}", "400"),
        (
            "bytes of a body, also decompressed",
            f"`MAX_BODY_BYTES`, by default {settings.MAX_BODY_BYTES:,}",
            "413",
        ),
        ("members of a gzip body", f"{MAX_GZIP_MEMBERS}", "413"),
        (
            "JSON values of a body, or of the JSON texts in its tensors; elements of its tensors",
            f"`MAX_VALUES`, by default {settings.MAX_VALUES:,}",
            "413",
        ),
        (
            "tensors in `inputs`, and in `outputs`",
            f"`MAX_TENSORS`, by default {settings.MAX_TENSORS:,}",
            "413",
        ),
        (
            "messages in a request",
            f"`MAX_MESSAGES`, by default {settings.MAX_MESSAGES:,}",
            "413",
        ),
        (
            "parts of all messages in a request",
            f"`MAX_PARTS`, by default {settings.MAX_PARTS:,}",
            "413",
        ),
        ("bytes of a request line", f"{LimitRequestLine.default:,}", "414"),
        ("headers", f"{LimitRequestFields.default:,}", "431"),
        ("bytes of a header, with its name", f"{MAX_HEADER_BYTES:,}", "431"),
        ("bytes of a message", "what the database takes: on MySQL, `max_allowed_packet`", "413"),
    ]
    return table("of what", "limit", "status above it", rows=rows)


def memory() -> str:
    rows = [
        ("text", f"{PEAK_OF_TEXT} times its bytes"),
        (
            "control characters as binary data, each of which is six bytes in JSON",
            f"{PEAK_OF_CONTROL_CHARACTERS} times their bytes",
        ),
        ("the messages of a reply", f"{PEAK_OF_A_REPLY} times their bytes"),
        ("a JSON value, or an element of a tensor", f"{PEAK_OF_A_VALUE} bytes"),
        ("a process by itself", f"{BASE // MIB} MiB"),
    ]
    return table("of what", "takes at most", rows=rows)


# --- Metrics -----------------------------------------------------------------------------


def collectors() -> list[Any]:
    modules = (metrics, http_metrics)
    values = [value for module in modules for value in vars(module).values()]
    return [value for value in values if isinstance(value, Counter | Gauge | Histogram | Summary)]


def reasons() -> str:
    """The values of the label `reason`, of each metric that has it."""
    of_memories = [*sorted(map(metrics.reason_of, metrics.REASONS)), metrics.reason_of(Exception)]
    of_server = dict.fromkeys(
        [*refusals.REASONS.values(), *refusals.REASON_OF_STATUS.values(), refusals.OTHER_REASON]
    )
    rows = [
        (f"`{name}`", ", ".join(f"`{reason}`" for reason in found))
        for name, found in (
            ("memory_requests_refused_total", of_memories),
            ("rest_server_refusals_total", of_server),
        )
    ]
    return table("metric", "reason", rows=rows)


def all_metrics() -> str:
    rows = []
    for collector in collectors():
        (described,) = collector.describe()
        suffix = "_total" if described.type == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in collector._labelnames)
        rows.append(
            (f"`{described.name}{suffix}`", described.type, labels, described.documentation)
        )
    for family in looked_up():
        labels = ", ".join(f"`{label}`" for label in family.samples[0].labels)
        rows.append((f"`{family.name}`", family.type, labels, family.documentation))
    return table("metric", "type", "labels", "meaning", rows=rows)


def looked_up() -> list[Any]:
    """Those that have no value before Prometheus asks."""
    memory = memory_from_settings(
        {"name": "m", "parameters": {"extra": {"database": "sql", "config": {}}}}, "here"
    )
    return list(StateCollector([memory], lambda memory: True).collect())


# --- The admin ---------------------------------------------------------------------------


def admin_limits() -> str:
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds()) // 60
    of_message = f"the first {SEARCHED_CHARACTERS:,} characters of what a message says"
    rows = [
        (
            "failed sign-ins before a name must wait",
            f"{settings.AXES_FAILURE_LIMIT}, then {minutes} minutes",
        ),
        (
            "failed sign-ins before an address must wait",
            f"{settings.SIGN_IN_FAILURES_OF_ADDRESS} in {minutes} minutes",
        ),
        ("conversations on a page of the list, or found by an id", ROWS_PER_PAGE),
        ("conversations in one export or deletion of a selection", MAX_SELECTED),
        (
            "a part of an export of a whole list",
            f"{PART_CONVERSATIONS} conversations; fewer once they have {PART_MESSAGES:,} messages",
        ),
        (
            "messages on a page of a transcript",
            f"{CHUNK_MESSAGES}, or {CHUNK_BYTES // MIB} MiB of them",
        ),
        ("a text that is shown whole", f"{MAX_SHOWN_CHARACTERS:,} characters"),
        ("a text that is rendered as Markdown", f"the first {MAX_RENDERED:,} characters"),
        (
            "what a page renders as Markdown",
            f"{MAX_RENDERED_ON_PAGE:,} characters, {SECONDS_PER_PAGE} seconds of CPU time",
        ),
        (
            "hits on a page of a search",
            f"{MAX_HITS}; of one conversation among all, {MAX_HITS_OF_ONE}",
        ),
        ("messages that a search reads in one step", f"{MAX_MESSAGES_READ:,}"),
        (
            "a search in all conversations, with the index of words",
            f"{of_message}; {index_search.MAX_MATCHES} messages that have the query's terms",
        ),
        (
            "a search in all conversations, in one step without the index",
            f"{of_message}, the last {LAST_MESSAGES} messages of {MAX_CONVERSATIONS} conversations",
        ),
        ("conversations whose messages `count_days` counts in one step", AT_ONCE),
        ("messages that one transaction deletes", BATCH),
        ("one step of a deletion", f"{DELETING_SECONDS} seconds"),
        ("counts on the first page are exact up to", f"{COUNT_LIMIT:,}"),
        (
            "the chart of new conversations is exact up to",
            f"{NEW_COUNT_LIMIT:,} in {DAYS} days; above, a sample of {SAMPLE_SIZE:,} conversations",
        ),
    ]
    return table("what", "limit", rows=rows)


# --- Checks ------------------------------------------------------------------------------


def checks() -> str:
    """The messages of `check` that are ours, by their ids."""
    found = []
    for path in modules("api_keys", "convstore", "memory_api"):
        if path == Path(inspect.getfile(forks)):  # no route of V2 copies
            continue
        tree = ast.parse(path.read_text())
        texts = assigned_texts(tree)
        for call in calls(tree):
            keywords = {keyword.arg: keyword.value for keyword in call.keywords}
            if isinstance(named := keywords.get("id"), ast.Constant):
                level = ast.unparse(call.func).rpartition(".")[2].lower()
                message = spelled(call.args[0], texts)
                if not re.search(r"\w", message):
                    message = "(varies: says which setting is wrong, and why)"
                hint = spelled(keywords["hint"], texts) if "hint" in keywords else ""
                found.append((f"`{spelled(named, texts)}`", level, message, hint))
    return table("id", "level", "message", "what to do", rows=sorted(found))


# --- Python ------------------------------------------------------------------------------


def store() -> str:
    methods = {
        name: method
        for kind in ConversationStore.__mro__
        for name, method in vars(kind).items()
        if not name.startswith("_") and inspect.isfunction(method)
    }
    rows = []
    for name, method in methods.items():
        if inspect.iscoroutinefunction(method):
            continue
        signature = ", ".join(list(inspect.signature(method).parameters)[1:])
        sentence, _, _ = (inspect.getdoc(method) or "").partition("\n\n")
        form = f"`a{name}`" if f"a{name}" in methods else ""
        rows.append((f"`{name}({signature})`", form, " ".join(sentence.split())))
    return table("method", "async", "what it does", rows=rows)


GENERATED: dict[str, Callable[[], str]] = {
    "routes": routes,
    "errors": errors,
    "limits": limits,
    "memory": memory,
    "metrics": all_metrics,
    "reasons": reasons,
    "admin-limits": admin_limits,
    "checks": checks,
    "store": store,
}
