"""model-settings.json: what loads, what is refused, and the sentence that says so."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from memory_api import memories
from memory_api.errors import MemoryUnavailable, SettingsError, UnknownMemory
from memory_api.memory import Memory
from memory_api.model_repository import read_repository
from memory_api.model_settings import memory_from_settings
from testing.service import write_memory

FILESYS = {"database": "filesys"}


def memory(extra: dict[str, Any], **top) -> Memory:
    parameters = {"extra": extra, **top.pop("parameters", {})}
    return memory_from_settings({"name": "m", "parameters": parameters, **top}, "file.json")


def configured(**config) -> Memory:
    return memory({"database": "filesys", "config": config})


def refusal(extra: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as raised:
        memory(extra)
    return str(raised.value)


def test_seldons_filesys_file_loads_unchanged(root):
    (found,) = read_repository(root / "memory_api" / "default_models").memories
    assert (found.name, found.version, found.window_size) == ("filesys-memory", None, 50)
    assert found.tensor_names == ("role", "content", "type")
    assert found.store.using == "default"


def test_seldons_postgresql_file_loads_unchanged(root):
    (found,) = read_repository(root / "examples" / "models").memories
    assert (found.name, found.window_size) == ("psql-memory", 50)
    assert found.store.using != "default"


def test_defaults_are_those_of_the_reference():
    found = memory(FILESYS)
    assert found.window_size == 10
    assert found.tensor_names == (
        *("role", "content", "type", "tool_calls", "tool_call_id"),
        *("name", "refusal"),
    )


def test_an_sql_memory_without_a_url_keeps_to_the_services_own():
    assert memory({"database": "sql"}).store.using == "default"


def test_a_standby_has_less_time_to_answer_than_its_primary(settings):
    settings.DATABASE_TIMEOUT = 7
    extra = {
        "database": "sql",
        "config": {"url": "postgresql://a/d", "read_url": "postgresql://b/d"},
    }
    store = memory(extra).store
    limits = [
        connections[alias].settings_dict["OPTIONS"]["connect_timeout"]
        for alias in (store.using, store.standby or "")
    ]
    assert limits == [7, 2]


def test_a_wrong_read_url_is_refused_by_its_path():
    text = refusal({"database": "sql", "config": {"read_url": "postgresql://b/d?colour=red"}})
    assert text.startswith(
        "file.json: parameters.extra.config.read_url: connection argument colour"
    )


def test_a_path_is_a_store_of_its_own(tmp_path):
    assert configured(path=str(tmp_path)).store.using != "default"
    assert configured().store.using == "default"


def test_a_relative_path_is_relative_to_data_dir(tmp_path, settings):
    settings.DATA_DIR = tmp_path
    for path, folder in {"chat": "chat", "a/b": "a/b", str(tmp_path / "c"): "c"}.items():
        name = connections[configured(path=path).store.using].settings_dict["NAME"]
        assert name == str(tmp_path / folder / "conversations.sqlite3")


def test_the_older_shape_loads():
    extra = {
        "database_config": {"database": "filesys"},
        "memory_config": {"window_size": 2, "tensor_names": ["content"]},
    }
    found = memory(extra)
    assert (found.window_size, found.tensor_names) == (2, ("content",))


def test_strings_that_the_agent_wrote_are_read_as_their_type():
    config = {"window_size": "7", "tensor_names": '["role", "content"]', "auto_migrate": "false"}
    extra = {"database": "filesys", "config": json.dumps(config), "prompt_utils": "null"}
    found = memory(extra)
    assert (found.window_size, found.tensor_names) == (7, ("role", "content"))
    assert found.auto_migrate is False


def test_what_the_agent_rewrites_is_kept():
    found = memory_from_settings(
        {"name": "m_1", "parameters": {"version": "1", "extra": FILESYS}}, "file.json"
    )
    assert (found.name, found.version) == ("m_1", "1")


def test_keys_that_the_agent_merged_beside_config_are_ignored_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        memory({**FILESYS, "infer_uri": "http://x"})
    assert "parameters.extra.infer_uri is unknown" in caplog.text


REFUSED = [
    ({}, "parameters.extra.database is missing; it must be 'filesys' or 'sql'"),
    ({"database": "redis"}, "parameters.extra.database is 'redis'"),
    ({"database": 5}, "parameters.extra.database is 5; it must be a string"),
    ({**FILESYS, "config": []}, "parameters.extra.config is a list; it must be an object"),
    (
        {**FILESYS, "prompt_utils": {}},
        "parameters.extra.prompt_utils.model_type is missing; it must be 'chat.completions'",
    ),
    (
        {**FILESYS, "prompt_utils": {"model_type": "completions"}},
        "parameters.extra.prompt_utils.model_type is 'completions'; it must be 'chat.completions'",
    ),
    (
        {**FILESYS, "prompt_utils": {"model_type": "chat.completions", "prompt": "Hi"}},
        "parameters.extra.prompt_utils.prompt is not a field; the fields are model_type",
    ),
    (
        {**FILESYS, "confg": {"window_size": 5}},
        "parameters.extra.confg is not a field; did you mean 'config'?",
    ),
    (
        {**FILESYS, "memory_config": {"window_size": 5}},
        "parameters.extra.memory_config belongs to database_config, which is missing",
    ),
    (
        {"config": {"window_size": 5}, "database_config": FILESYS},
        "parameters.extra.config and database_config are both there; remove database_config",
    ),
    (
        {"database_config": {**FILESYS, "window_size": 5}, "memory_config": {"window_size": 6}},
        "parameters.extra.memory_config.window_size is also in database_config; remove one",
    ),
    (
        {"database_config": {**FILESYS, "paht": "x"}},
        "parameters.extra.database_config.paht is not a field",
    ),
]
REFUSED_TOP: list[tuple[dict[str, Any], str]] = [
    ({"nmae": "m"}, "nmae is not a field; the fields are name, "),
    ({"nmae": "m"}, "; did you mean 'name'?"),
    ({"paramters": {}}, "; did you mean 'parameters'?"),
    ({"implementaton": "x"}, "; did you mean 'implementation'?"),
    ({"name": 5}, "name is 5; it must be a string"),
    ({"name": "a/b"}, "name is 'a/b'; it must be up to 255 printable characters without a /"),
    ({"name": "\ud800"}, r"name is '\ud800'; it must be up to 255 printable characters"),
    ({"max_batch_size": "many"}, "max_batch_size is 'many'; it must be an integer"),
    ({"parameters": []}, "parameters is a list; it must be an object"),
    ({"parameters": {"extras": {}}}, "parameters.extras is not a field; the fields are version"),
    ({"parameters": {"version": 1}}, "parameters.version is 1; it must be a string"),
    ({"a field\n": 1}, '"a field\\n" is not a field'),
]
REFUSED_CONFIG = [
    ({"window_size": 0}, "config.window_size is 0; it must be an integer from 1 to 2147483647"),
    ({"window_size": -5}, "config.window_size is -5"),
    ({"window_size": 2**31}, "config.window_size is 2147483648; it must be an integer from 1 to"),
    ({"window_tokens": 0}, "config.window_tokens is 0; it must be null or an integer from 1 to"),
    ({"window_items": "none"}, "config.window_items is 'none'; it must be 'messages' or 'all'"),
    ({"window_items": True}, "config.window_items is True; it must be a string"),
    ({"window_tokens": 2**31}, "config.window_tokens is 2147483648"),
    ({"window_size": "many"}, "config.window_size is 'many'; it must be an integer"),
    ({"window_size": True}, "config.window_size is True; it must be an integer"),
    ({"window_size": 2.5}, "config.window_size is 2.5; it must be an integer"),
    ({"idempotency": "key"}, "config.idempotency is 'key'; it must be 'request_id' or null"),
    ({"idempotency": True}, "config.idempotency is True; it must be a string"),
    ({"tensor_names": ["role"]}, "config.tensor_names is ['role']"),
    ({"tensor_names": ["content"]}, "config.tensor_names is ['content']; it must be a list with"),
    (
        {"tensor_names": ["rol", "content", "type"]},
        "config.tensor_names has \"rol\"; did you mean 'role'?",
    ),
    (
        {"tensor_names": ["role", "content", "Tool-Calls"]},
        "config.tensor_names has \"Tool-Calls\"; did you mean 'tool_calls'?",
    ),
    ({"tensor_names": ["content", "content"]}, "config.tensor_names"),
    ({"tensor_names": ["content", "memory_id"]}, "config.tensor_names"),
    (
        {"tensor_names": ["role", "content", "tokens"]},
        "config.tensor_names is ['role', 'content', 'tokens']",
    ),
    ({"tensor_names": ["content", 5]}, "config.tensor_names"),
    ({"tensor_names": "content"}, "config.tensor_names is 'content'; it must be a list"),
    ({"model_type": "completions"}, "config.model_type is 'completions'"),
    ({"windowsize": 5}, "config.windowsize is not a field; the fields are path, window_size"),
    ({"url": "sqlite:///a.db"}, "config.url is not a field"),
    ({"read_url": "sqlite:///a.db"}, "config.read_url is not a field"),
    ({"stale_reads": True}, "config.stale_reads is not a field"),
]


@pytest.mark.parametrize(("extra", "sentence"), REFUSED)
def test_a_wrong_field_is_refused_by_its_path(extra, sentence):
    assert sentence in refusal(extra)
    assert refusal(extra).startswith("file.json: ")


@pytest.mark.parametrize(("config", "sentence"), REFUSED_CONFIG)
def test_a_wrong_field_of_config_is_refused_by_its_path(config, sentence):
    text = refusal({"database": "filesys", "config": config})
    assert f"parameters.extra.{sentence}" in text


@pytest.mark.parametrize(("fields", "sentence"), REFUSED_TOP)
def test_a_wrong_field_of_mlservers_is_refused_by_its_path(fields, sentence):
    with pytest.raises(SettingsError) as raised:
        memory_from_settings({"parameters": {"extra": FILESYS}, **fields}, "file.json")
    assert sentence in str(raised.value)


def test_an_unknown_field_of_config_gets_the_known_one_that_is_like_it():
    text = refusal({"database": "filesys", "config": {"windowsize": 5}})
    assert text.endswith("; did you mean 'window_size'?")


def test_what_seldon_documents_of_prompt_utils_is_accepted():
    memory({**FILESYS, "prompt_utils": {"model_type": "chat.completions"}})
    memory({**FILESYS, "prompt_utils": '{"model_type": "chat.completions"}'})


def test_an_unknown_key_beside_config_is_warned_of_with_what_may_be_meant(caplog):
    with caplog.at_level(logging.WARNING):
        memory({**FILESYS, "configuration": {}})
    (record,) = caplog.records
    assert record.message.endswith(
        "parameters.extra.configuration is unknown and ignored; did you mean 'config'?"
    )


@pytest.mark.parametrize(
    "field", ["window_size", "tensor_names", "idempotency", "window_items", "read_url"]
)
def test_a_field_of_config_that_stands_beside_it_is_refused(field):
    assert refusal({"database": "sql", "config": {}, field: "x"}).endswith(
        f"parameters.extra.{field} is a field of config; move it into parameters.extra.config"
    )


def test_a_field_without_an_effect_here_is_warned_of(settings, caplog):
    settings.MAX_WINDOW = 3
    configured(window_size=3)
    assert not caplog.messages
    memory({"database": "sql", "config": {"window_size": 5, "stale_reads": True}})
    stale, window = caplog.messages
    assert stale.endswith("config.stale_reads is true, and has no effect without read_url")
    assert window.endswith(
        "config.window_size is 5, but a reply has at most 3 messages (MAX_WINDOW)"
    )


def test_a_refusal_never_shows_a_password():
    for config in (
        {"url": "postgresql://u:TOPSECRET@h:x/d"},
        {"url": {"password": "TOPSECRET"}},
        {"read_url": "postgresql://u:TOPSECRET@h:x/d"},
        {"read_url": {"password": "TOPSECRET"}},
        {"password": "TOPSECRET"},
        {"url": "postgresql://u@h/d", "connection_options": {"connect_args": {"x": "TOPSECRET"}}},
    ):
        text = refusal({"database": "sql", "config": config})
        assert "TOPSECRET" not in text
        assert "parameters.extra.config" in text


@pytest.mark.parametrize("field", ["database", "config"])
def test_a_url_in_the_place_of_another_field_is_not_shown(field):
    text = refusal({**FILESYS, field: "postgresql://u:TOPSECRET@h/d"})
    assert "TOPSECRET" not in text
    assert f"parameters.extra.{field} is a string; it must be" in text


# --- A folder of files -------------------------------------------------------------------


def write(folder: Path, document: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "model-settings.json").write_text(text)


def a_file(**fields: object) -> dict[str, Any]:
    implementation = "mlserver_memory.ConversationalMemory"
    return {"implementation": implementation, "parameters": {"extra": FILESYS}, **fields}


def reason_for(folder: Path, document: object) -> str:
    """Why the memory of a file is unavailable, beside one that is not."""
    write_memory(folder, "good", FILESYS)
    write(folder / "bad", document)
    found = read_repository(folder)
    assert [memory.name for memory in found.memories] == ["good"]
    (bad,) = found.unavailable
    assert bad.name == "bad"
    return bad.reason


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("{", "cannot be read: Expecting property name"),
        ("[" * 100_000, "cannot be read: maximum recursion depth exceeded"),
        ("[]", "is a list; it must be a JSON object"),
        ('{"name": "bad", "name": "worse"}', 'the field "name" is there twice; remove one'),
        (a_file(window=5), ": window is not a field"),
        (a_file(implementation=None), ": implementation is missing; it must be 'mlserver_memory."),
        ({"implementaton": "x"}, "implementaton is not a field; the fields are name, impl"),
        (a_file(implementation="m.ConversationalMemry"), "is 'm.ConversationalMemry'; it must be"),
        (a_file(implementation="mlserver_memry.ConversationalMemory"), "it must be 'mlserver_mem"),
        (a_file(implementation="m.conversationalmemory"), "it must be 'mlserver_memory.Convers"),
    ],
)
def test_a_bad_file_makes_one_memory_unavailable_and_is_named(tmp_path, document, sentence):
    reason = reason_for(tmp_path, document)
    assert reason.startswith(f"{tmp_path.name}/bad/model-settings.json")
    assert sentence in reason


def test_a_file_that_may_not_be_read_is_one_memorys_fault(tmp_path):
    (tmp_path / "bad" / "model-settings.json").mkdir(parents=True)
    (bad,) = read_repository(tmp_path).unavailable
    assert bad.reason.endswith("bad/model-settings.json cannot be read: Is a directory")


def test_a_bad_file_is_listed_under_the_name_and_version_that_it_asks_for(tmp_path):
    write(tmp_path / "folder", a_file(name="m", parameters={"version": "2", "extra": {}}))
    (bad,) = read_repository(tmp_path).unavailable
    assert (bad.name, bad.version) == ("m", "2")


def test_of_two_files_with_one_name_and_version_nobody_knows_which_is_meant(tmp_path):
    for folder in ("a", "b", "c"):
        write(tmp_path / folder, a_file(name="same"))
    write_memory(tmp_path, "other", FILESYS)
    found = read_repository(tmp_path)
    assert [memory.name for memory in found.memories] == ["other"]
    (bad,) = found.unavailable
    assert "have the same name, 'same', and the same version; change one of them" in bad.reason


def test_a_bad_file_does_not_take_along_the_memory_whose_name_it_has(tmp_path):
    write(tmp_path / "a", a_file(name="m"))
    write(tmp_path / "b", a_file(name="m", window=1))
    found = read_repository(tmp_path)
    assert [memory.name for memory in found.memories] == ["m"]
    assert [memory.name for memory in found.unavailable] == ["m"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match="there is no folder"):
        read_repository(tmp_path / "none")


def test_models_of_other_runtimes_are_passed_over(tmp_path):
    write_memory(tmp_path, "mine", FILESYS)
    other = {"name": "other", "implementation": "mlserver_sklearn.SKLearnModel", "anything": 1}
    write(tmp_path / "other", other)
    found = read_repository(tmp_path)
    assert [memory.name for memory in found.entries] == ["mine"]
    (reason,) = found.passed_over
    assert 'its implementation, "mlserver_sklearn.SKLearnModel", is another runtime\'s' in reason


def found_by_mlserver(root: Path, folder: Path) -> set[tuple[str, str | None]]:
    """The names and versions that MLServer's own repository finds."""
    script = (
        "import asyncio, json, sys\n"
        "from mlserver.repository import SchemalessModelRepository\n"
        "found = asyncio.run(SchemalessModelRepository(sys.argv[1]).list())\n"
        "print(json.dumps([[each.name, each.parameters.version] for each in found]))\n"
    )
    python = root / ".venv-mlserver" / "bin" / "python"
    run = subprocess.run([python, "-c", script, folder], capture_output=True, text=True, check=True)
    return {(name, version) for name, version in json.loads(run.stdout.splitlines()[-1])}


@pytest.mark.needs("mlserver")
def test_memories_are_found_where_mlserver_finds_models(root, tmp_path):
    models = tmp_path / "models"
    write(models, a_file())
    write(models / "plain", a_file())
    write(models / "group" / "nested", a_file(name="nested"))
    for version in ("1", "2"):
        parameters = {"version": version, "extra": FILESYS}
        write(models / "versions" / version, a_file(name="v", parameters=parameters))
    write(models / "unnamed" / "3", a_file())
    write(models / ".hidden", a_file())
    write(tmp_path / "elsewhere" / "linked", a_file())
    (models / "link").symlink_to(tmp_path / "elsewhere")

    found = read_repository(models)

    names = {(memory.name, memory.version) for memory in found.memories}
    assert found.unavailable == ()
    assert names == {
        ("models", None),
        ("plain", None),
        ("nested", None),
        ("v", "1"),
        ("v", "2"),
        ("3", None),
        ("linked", None),
    }
    assert names == found_by_mlserver(root, models)


def test_a_folder_that_links_to_itself_is_read_once(tmp_path):
    write(tmp_path / "m", a_file())
    (tmp_path / "m" / "again").symlink_to(tmp_path)
    assert [memory.name for memory in read_repository(tmp_path).entries] == ["m"]


@pytest.fixture
def served(tmp_path, settings):
    """The folder whose memories this process serves."""
    settings.MODELS_DIR = tmp_path
    memories.repository.cache_clear()
    yield tmp_path
    memories.repository.cache_clear()


def test_the_log_says_what_was_passed_over_where_there_is_no_memory(served, caplog):
    write(served / "other", {"implementation": "mlserver_sklearn.SKLearnModel"})
    with caplog.at_level(logging.ERROR):
        memories.log_repository()
    passed_over, no_memory = (record.message for record in caplog.records)
    assert passed_over.startswith(f"passed over: {served.name}/other/model-settings.json: its impl")
    assert no_memory.startswith(f"there is no memory in {served}, so the service is not ready")


def test_the_log_names_each_bad_file_and_each_field_without_effect_once(served, caplog):
    write(served / "bad", "{")
    write(served / "batched", a_file(max_batch_size=8))
    with caplog.at_level(logging.WARNING):
        memories.log_repository()
    bad, batched = (record.message for record in caplog.records)
    assert bad.startswith(f"memory bad is unavailable: {served.name}/bad/model-settings.json cann")
    assert batched.endswith(
        "max_batch_size has no effect: requests of different conversations are never joined"
    )


def test_a_file_without_a_name_takes_its_folders():
    assert (
        memory_from_settings({"parameters": {"extra": FILESYS}}, "f", name="folder").name
        == "folder"
    )


@pytest.fixture
def versions(served):
    """A model m in the versions 2 and 10, a bad one, and another without one."""
    for version in ("2", "10"):
        write_memory(served, "m", FILESYS, version)
        (served / "m").rename(served / f"m-{version}")
    write_memory(served, "plain", FILESYS)
    write_memory(served, "broken", {}, "1")


def test_without_a_version_the_highest_answers(versions):
    assert memories.find_memory("m").version == "10"
    assert memories.find_memory("m", "2").version == "2"
    assert memories.find_memory("plain").version is None


@pytest.mark.parametrize("version", [None, "1"])
def test_a_memory_whose_file_is_wrong_is_refused_with_the_reason(versions, version):
    with pytest.raises(MemoryUnavailable, match=r"parameters\.extra\.database is missing"):
        memories.find_memory("broken", version)


def test_a_bad_version_is_not_answered_for_by_an_older_one(versions, served):
    write_memory(served, "m", {}, "11")
    with pytest.raises(MemoryUnavailable):
        memories.find_memory("m")
    assert memories.find_memory("m", "10").version == "10"


@pytest.mark.parametrize(
    ("name", "version", "sentence"),
    [
        ("nope", None, "Model nope not found"),
        ("nope", "1", "Model nope with version 1 not found"),
        ("m", "3", "Model m with version 3 not found"),
        ("plain", "1", "Model plain with version 1 not found"),
    ],
)
def test_an_unknown_memory_is_refused_in_mlservers_words(versions, name, version, sentence):
    with pytest.raises(UnknownMemory) as raised:
        memories.find_memory(name, version)
    assert str(raised.value) == sentence
