"""The reference says what the code says: settings, fields, routes, metrics, commands, limits."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands

from convstore import __version__
from convstore.conf import DEFAULT_MAX_BODY_BYTES
from convstore.database import options
from convstore.database.url import database_settings
from convstore.media import SIGNATURES
from inspection.export import FORMATS
from memory_api.model_repository import read_repository
from memory_api.model_settings import (
    CONFIG_FIELDS,
    EXTRA_FIELDS,
    PARAMETER_FIELDS,
    TOP_FIELDS,
    memory_from_settings,
)
from memory_api.urls import urlpatterns
from memory_api.views import V2View
from tests.docs.generated import GENERATED
from tests.docs.pages import GENERATED as PART
from tests.docs.pages import PAGES, ROOT, all_blocks, blocks, name, rows, section, words

PRODUCT = (
    "api_keys",
    "conversations_api",
    "convstore",
    "convstore_agents",
    "memory_api",
    "inspection",
    "mlserver_bridge",
)


# --- Generated parts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", [page for page in PAGES if PART.search(page.read_text())], ids=name
)
def test_the_generated_parts_of_a_page_are_those_of_this_code(page: Path) -> None:
    text = page.read_text()
    renewed = PART.sub(lambda part: f"{part[1]}\n{GENERATED[part[2]]()}\n{part[4]}", text)
    if os.environ.get("RENEW_DOCS"):
        page.write_text(renewed)
    assert text == renewed, f"RENEW_DOCS=1 writes {name(page)} anew"


def test_every_generated_part_is_on_a_page() -> None:
    used = {part[2] for page in PAGES for part in PART.finditer(page.read_text())}
    assert used == set(GENERATED)


# --- Settings ----------------------------------------------------------------------------


def test_the_largest_grpc_message_is_the_default_limit_of_a_body() -> None:
    for file in (
        "Dockerfile",
        "memory_api/default_models/settings.json",
        "docs/reference/mlserver.md",
    ):
        text = (ROOT / file).read_text()
        found = re.findall(r'grpc_max_message_length"?[=:] ?(\d+)', text, re.IGNORECASE)
        assert found == [str(DEFAULT_MAX_BODY_BYTES)], file


def variables_that_are_read() -> set[str]:
    """Names in capitals that the product asks the environment for, by whatever function."""
    found = set()
    for package in PRODUCT:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                found |= set(_variable(node))
    return found


def _variable(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function, word = ast.unparse(node.func), node.args[0].value
        reads = function.startswith("os.environ.") or function in (
            "one_of",
            "positive_integer",
            "comma_separated",
            "some_of",
            "networks",
        )
        if reads and isinstance(word, str) and re.fullmatch("[A-Z_]+", word):
            yield word


# Read, or set, for other programs.
NOT_OURS = {"DJANGO_SETTINGS_MODULE", "PROMETHEUS_MULTIPROC_DIR"}


def test_every_setting_is_in_the_table_and_the_table_has_no_other() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text().partition("\n## ")[0]
    listed = {words(row[0])[0] for row in rows(page)}
    assert listed == variables_that_are_read() - NOT_OURS


def test_the_defaults_in_the_table_are_those_of_a_service_with_no_settings(tmp_path: Path) -> None:
    page = (ROOT / "docs/reference/settings.md").read_text().partition("\n## ")[0]
    defaults = {words(row[0])[0]: row[1] for row in rows(page)}
    module = "from convstore import settings"
    script = f"import json; {module}; print(json.dumps(vars(settings), default=str))"
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    actual = json.loads(run.stdout)
    for variable, default in defaults.items():
        if variable in actual and re.fullmatch(r"`[^`]*`", default):
            expected = actual[variable]
            spelled = ",".join(expected) if isinstance(expected, list) else str(expected)
            assert default.strip("`") == spelled.removeprefix(f"{tmp_path}/"), variable


# --- model-settings.json -----------------------------------------------------------------

SHIPPED = ROOT / "memory_api/default_models/filesys-memory/model-settings.json"


def test_every_field_of_a_memory_is_in_the_table_and_the_table_has_no_other() -> None:
    table = section("docs/reference/model-settings.md", "Fields of `config`")
    listed = {words(row[0])[0]: words(row[1]) for row in rows(table)}
    fields = {field for names in CONFIG_FIELDS.values() for field in names}
    assert set(listed) == fields
    for field, databases in listed.items():
        kinds = [kind for kind, names in CONFIG_FIELDS.items() if field in names]
        assert databases == (kinds if len(kinds) == 1 else [])


def test_the_defaults_of_a_memorys_fields_are_those_of_the_code(tmp_path: Path) -> None:
    table = section("docs/reference/model-settings.md", "Fields of `config`")
    defaults = {words(row[0])[0]: row[2].strip("`") for row in rows(table)}
    extra = {"database": "sql", "config": {}}
    memory = memory_from_settings({"name": "m", "parameters": {"extra": extra}}, "here")
    assert json.loads(defaults["window_size"]) == memory.window_size
    assert json.loads(defaults["window_items"]) == memory.window_items
    assert json.loads(defaults["tensor_names"]) == list(memory.tensor_names)
    assert json.loads(defaults["auto_migrate"]) is memory.auto_migrate
    assert json.loads(defaults["stale_reads"]) is memory.stale_reads
    assert json.loads(defaults["read_url"]) is memory.store.standby
    assert (json.loads(defaults["idempotency"]) is not None) is memory.once_per_request_id


EVERY_FIELD = {
    words(row[0])[0]: (json.loads(words(row[1])[0]), row[2])
    for row in rows(
        section("docs/reference/model-settings.md", "Every field, and what becomes of it")
    )
}


def test_every_field_of_the_file_is_in_the_table_and_the_table_has_no_other() -> None:
    config = {field for names in CONFIG_FIELDS.values() for field in names}
    assert set(EVERY_FIELD) == {
        *TOP_FIELDS,
        *(f"parameters.{field}" for field in PARAMETER_FIELDS),
        *(f"parameters.extra.{field}" for field in EXTRA_FIELDS),
        *(f"parameters.extra.config.{field}" for field in config),
    }


@pytest.mark.needs("mlserver")
def test_every_field_of_mlservers_is_in_the_table() -> None:
    script = (
        "import json\n"
        "from mlserver.settings import ModelParameters, ModelSettings\n"
        "names = [each.serialization_alias or name"
        " for name, each in ModelSettings.model_fields.items()]\n"
        "names += [f'parameters.{name}' for name in ModelParameters.model_fields]\n"
        "print(json.dumps(names))\n"
    )
    python = ROOT / ".venv-mlserver/bin/python"
    run = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    names = json.loads(run.stdout)
    assert {"implementation", "max_batch_size", "parameters.environment_path"} < set(names)
    assert set(names) <= set(EVERY_FIELD)


@pytest.mark.parametrize("path", EVERY_FIELD)
def test_what_the_table_says_becomes_of_a_field_is_what_the_loader_does(
    path: str, tmp_path: Path
) -> None:
    value, outcome = EVERY_FIELD[path]
    without, _ = loaded(tmp_path / "without", path)
    entry, warnings = loaded(tmp_path / "with", path, value)
    if outcome.startswith("refused"):
        assert f": {path} " in entry["reason"]
        return
    assert "reason" not in entry
    if outcome.startswith("no effect"):
        (warning,) = warnings
        assert f": {path} has no effect: " in warning
    else:
        assert outcome.startswith(("honoured", "accepted"))
        assert warnings == ()
    assert (entry != without) is outcome.startswith("honoured")


def loaded(folder: Path, path: str, *value: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the repository makes of a file with this value at `path`, and of one without."""
    kind = "filesys" if path.endswith(".path") else "sql"
    extra: dict[str, Any] = {"database": kind, "config": {}}
    if path.endswith(".stale_reads"):  # which needs another field
        extra["config"] = {"read_url": "postgresql://standby/chat"}
    if path.endswith("database_config"):
        extra = {}
    elif path.endswith("memory_config"):
        extra = {"database_config": {"database": kind}}
    implementation = "mlserver_memory.ConversationalMemory"
    document = {"implementation": implementation, "parameters": {"extra": extra}}
    *sections, field = path.split(".")
    place: dict[str, Any] = document
    for each in sections:
        place = place[each]
    place.pop(field, None)
    place.update(dict.fromkeys([field], *value) if value else {})
    (folder / "memory").mkdir(parents=True)
    (folder / "memory" / "model-settings.json").write_text(json.dumps(document))
    found = read_repository(folder)
    (entry,) = found.entries
    fields = {each.name: getattr(entry, each.name) for each in dataclasses.fields(entry)}
    if "store" in fields:
        fields["store"] = fields["store"].using, fields["store"].standby
    return fields, found.warnings


def test_every_settings_example_makes_a_memory() -> None:
    examples = [
        json.loads(block.text)
        for block in all_blocks()
        if block.language == "json" and '"implementation"' in block.text
    ]
    assert len(examples) >= 2
    for example in examples:
        assert memory_from_settings(example, "here").name == example["name"]


def test_the_first_settings_example_is_the_file_that_ships() -> None:
    (example,) = [
        b for b in blocks(ROOT / "docs/reference/model-settings.md") if b.language == "json"
    ]
    assert json.loads(example.text) == json.loads(SHIPPED.read_text())


def test_every_connection_option_is_in_the_table_and_the_table_has_no_other() -> None:
    table = section("docs/reference/model-settings.md", "Connection options")
    listed = {word for row in rows(table) for word in words(row[0])}
    source = inspect.getsource(options)
    taken = set(re.findall(r'options\.take\w*\(\s*"(\w+)"', source))
    assert listed == taken | {"pool_pre_ping"}


# --- The HTTP door -----------------------------------------------------------------------


def test_every_route_is_in_the_table() -> None:
    listed = {
        words(row[0])[0].split()[1] for row in rows(section("docs/reference/http-api.md", "Routes"))
    }
    routes = {_template(entry.pattern.regex.pattern) for entry in urlpatterns}
    not_listed = {"/", "/v2/docs", "/v2/docs/openapi.json"}  # pages for people
    assert routes - not_listed == listed


def _template(pattern: str) -> str:
    named = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern)
    return "/" + named.strip("^$").removesuffix("/?").replace("\\", "")


def test_the_headers_and_parameters_in_the_tables_are_read_by_the_code() -> None:
    files = [*(ROOT / "memory_api").glob("*.py"), ROOT / "convstore/request_log.py"]
    code = "".join(path.read_text() for path in files)
    for row in rows(section("docs/reference/http-api.md", "Parameters")):
        for word in words(row[0]):
            assert f'"{word}"' in code
    for header in (
        "Content-Encoding",
        "Inference-Header-Content-Length",
        "X-Request-Id",
        "Idempotency-Key",
        "Retry-After",
    ):
        assert header in code
        assert f"`{header}`" in section("docs/reference/http-api.md", "Headers")
    assert V2View.parser_classes


# --- Metrics, commands, time limits ------------------------------------------------------


def test_every_command_in_the_table_is_there_and_every_one_of_ours_is_in_it() -> None:
    table = section("docs/reference/commands.md", "Commands").partition("`make` has")
    listed = {word for row in rows(table[0]) for word in words(row[0])}
    commands = get_commands()
    assert listed <= set(commands)
    ours = {command for command, app in commands.items() if str(app).startswith(PRODUCT)}
    assert ours <= listed


def test_every_make_target_that_the_docs_name_is_there() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text()
        named = re.findall(r"`(?:\w+=\S+ )*make ([\w-]+)", text)
        named += [
            target
            for block in blocks(page)
            for target in re.findall(r"^(?:\w+=\S+ )*make ([\w-]+)", block.text, re.MULTILINE)
        ]
        assert set(named) <= targets, name(page)
    text = (ROOT / "docs/reference/commands.md").read_text()
    table = text.partition("`make` has")[2].partition("\n## ")[0]
    listed = {word.removeprefix("make ") for row in rows(table) for word in words(row[0])}
    assert listed == targets


URLS = {
    "SQLite": "sqlite:///d",
    "PostgreSQL": "postgresql://u:p@h/d",
    "MySQL, MariaDB": "mysql://u:p@h/d",
    "SQL Server": "mssql://u:p@h/d",
    "Oracle": "oracle://u:p@h/d",
}
POOL = {"pool_size": 9}
# What stands for T in a formula, twice, and all that a formula may be.
FORMULAS = {
    "T": lambda t: t,
    "T + 1": lambda t: t + 1,
    "T * 1000": lambda t: t * 1000,
    "(T + 1) * 1000": lambda t: (t + 1) * 1000,
}


def limits_of(url: str) -> dict[str, str]:
    """Each value of the connection's settings that changes with DATABASE_TIMEOUT, as a formula."""
    pool = POOL if url.startswith(("postgresql", "oracle")) else {}
    one, two = (_flat(database_settings(url, pool, timeout=t)) for t in (5, 11))
    return {
        key: next(
            text
            for text, formula in FORMULAS.items()
            if [formula(5), formula(11)] == [one[key], two[key]]
        )
        for key in one
        if one[key] != two[key]
    }


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    options = entry["OPTIONS"]
    pool = {f"pool.{key}": value for key, value in options.get("pool", {}).items()}
    return {**entry, **options, **pool, "OPTIONS": None, "pool": None}


@pytest.mark.parametrize("vendor", URLS)
def test_every_time_limit_is_in_the_table_and_the_table_has_no_other(vendor: str) -> None:
    listed: dict[str, str] = {}
    for row in rows((ROOT / "docs/explanation/time-limits.md").read_text()):
        if row[0] == vendor:
            listed.update(re.findall(r"`([\w.]+)` = (T(?: [+*] \d+)?|\(T \+ 1\) \* 1000)", row[1]))
    expected = limits_of(URLS[vendor])
    if vendor == "PostgreSQL":
        expected["lock_timeout"] = "T"  # a statement of each exchange
    assert listed == expected


# --- Databases, extras, the admin --------------------------------------------------------


def urls() -> list[str]:
    found = []
    for page in PAGES:
        found += re.findall(
            r"\b(?:sqlite|postgresql|mysql|mariadb|mssql|oracle)(?:\+\w+)?://[^\s'`\"<>]+",
            page.read_text(),
        )
    return sorted(set(found))


@pytest.mark.parametrize("url", urls())
def test_every_database_url_in_the_docs_is_understood(url: str) -> None:
    assert database_settings(url.rstrip(".,;)"))["ENGINE"]


def test_every_extra_that_the_docs_name_is_there_and_the_other_way_round() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = "".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"(?:\.whl|-e '\.)\[(\w+)\]", text))
    assert named == set(project["optional-dependencies"])


def test_the_version_in_the_docs_is_this_one() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert set(re.findall(r"convstore[-:](\d+\.\d+\.\d+)", text)) == {__version__}


def test_every_permission_that_the_page_on_the_admin_names_is_there() -> None:
    table = section("docs/howto/admin.md", "First user and permissions")
    found = [(words(row[0])[0], row[1]) for row in rows(table)]
    assert len(found) == 7
    for permission, spelled in found:
        app, codename = permission.split(".")
        action, model = codename.split("_")
        options = apps.get_model(app, model)._meta
        assert action in options.default_permissions
        assert spelled == f"Can {action} {options.verbose_name}"


def test_every_export_format_is_in_the_table_of_the_page_on_the_admin() -> None:
    listed = [row[0] for row in rows(section("docs/howto/admin.md", "Export conversations"))]
    assert listed == [format_.title for format_ in FORMATS.values()]


def test_every_kind_of_file_that_a_page_shows_is_named_on_the_page_on_the_admin() -> None:
    text = section("docs/howto/admin.md", "Read a conversation")
    spelled = {"mpeg": "MP3", "mp4": "M4A", "webp": "WebP", "ogg": "Ogg"}
    for _, _, mime, _ in SIGNATURES:
        kind = mime.partition("/")[2]
        assert spelled.get(kind, kind.upper()) in text
