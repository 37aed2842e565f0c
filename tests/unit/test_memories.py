"""model-settings.json: what loads, what is refused, and the sentence that says so."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.db import connections

from memory_api import memories
from memory_api.errors import SettingsError, UnknownMemory
from memory_api.memories import load_memories
from memory_api.memory import Memory
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
    (found,) = load_memories(root / "memory_api" / "default_models")
    assert (found.name, found.version, found.window_size) == ("filesys-memory", None, 50)
    assert found.tensor_names == ("role", "content", "type")
    assert found.store.using == "default"


def test_seldons_postgresql_file_loads_unchanged(root):
    (found,) = load_memories(root / "examples" / "models")
    assert (found.name, found.window_size) == ("psql-memory", 50)
    assert found.store.using != "default"


def test_defaults_are_those_of_the_reference():
    found = memory(FILESYS)
    assert found.window_size == 10
    assert found.tensor_names == ("role", "content", "type")


def test_an_sql_memory_without_a_url_keeps_to_the_services_own():
    assert memory({"database": "sql"}).store.using == "default"


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
    ({**FILESYS, "prompt_utils": {}}, "parameters.extra.prompt_utils is {}; it must be null"),
]
REFUSED_CONFIG = [
    ({"window_size": 0}, "config.window_size is 0; it must be an integer of at least 1"),
    ({"window_size": -5}, "config.window_size is -5"),
    ({"window_size": "many"}, "config.window_size is 'many'; it must be an integer"),
    ({"window_size": True}, "config.window_size is True; it must be an integer"),
    ({"window_size": 2.5}, "config.window_size is 2.5; it must be an integer"),
    ({"idempotency": "key"}, "config.idempotency is 'key'; it must be 'request_id' or null"),
    ({"idempotency": True}, "config.idempotency is True; it must be a string"),
    ({"tensor_names": ["role"]}, "config.tensor_names is ['role']"),
    ({"tensor_names": ["content", "content"]}, "config.tensor_names"),
    ({"tensor_names": ["content", "memory_id"]}, "config.tensor_names"),
    ({"tensor_names": ["content", 5]}, "config.tensor_names"),
    ({"tensor_names": "content"}, "config.tensor_names is 'content'; it must be a list"),
    ({"model_type": "completions"}, "config.model_type is 'completions'"),
    ({"windowsize": 5}, "config.windowsize is not a field; the fields are path, window_size"),
    ({"url": "sqlite:///a.db"}, "config.url is not a field"),
]


@pytest.mark.parametrize(("extra", "sentence"), REFUSED)
def test_a_wrong_field_is_refused_by_its_path(extra, sentence):
    assert sentence in refusal(extra)
    assert refusal(extra).startswith("file.json: ")


@pytest.mark.parametrize(("config", "sentence"), REFUSED_CONFIG)
def test_a_wrong_field_of_config_is_refused_by_its_path(config, sentence):
    text = refusal({"database": "filesys", "config": config})
    assert f"parameters.extra.{sentence}" in text


def test_a_refusal_never_shows_a_password():
    for config in (
        {"url": "postgresql://u:TOPSECRET@h:x/d"},
        {"url": {"password": "TOPSECRET"}},
        {"password": "TOPSECRET"},
        {"url": "postgresql://u@h/d", "connection_options": {"connect_args": {"x": "TOPSECRET"}}},
    ):
        text = refusal({"database": "sql", "config": config})
        assert "TOPSECRET" not in text
        assert "parameters.extra.config" in text


def test_a_file_that_is_not_json_is_named(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model-settings.json").write_text("{")
    with pytest.raises(SettingsError, match=r"m/model-settings\.json cannot be read"):
        load_memories(tmp_path)


def test_two_files_with_one_name_and_version_are_refused(tmp_path):
    write_memory(tmp_path / "a", "same", FILESYS)
    write_memory(tmp_path / "b", "same", FILESYS)
    for number, folder in enumerate("ab"):
        (tmp_path / folder / "same").rename(tmp_path / f"{number}")
    with pytest.raises(SettingsError, match="same name"):
        load_memories(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match="there is no folder"):
        load_memories(tmp_path / "none")


def test_models_of_other_runtimes_are_passed_over(tmp_path):
    write_memory(tmp_path, "mine", FILESYS)
    path = tmp_path / "other"
    path.mkdir()
    other = {"name": "other", "implementation": "mlserver_sklearn.SKLearnModel"}
    (path / "model-settings.json").write_text(json.dumps(other))
    assert [found.name for found in load_memories(tmp_path)] == ["mine"]


def test_a_file_without_a_name_takes_its_folders():
    assert (
        memory_from_settings({"parameters": {"extra": FILESYS}}, "f", name="folder").name
        == "folder"
    )


@pytest.fixture
def versions(tmp_path, settings):
    """A model m in the versions 2 and 10, and another without one."""
    settings.MODELS_DIR = tmp_path
    for version in ("2", "10"):
        write_memory(tmp_path, "m", FILESYS, version)
        (tmp_path / "m").rename(tmp_path / f"m-{version}")
    write_memory(tmp_path, "plain", FILESYS)
    memories.memories.cache_clear()
    yield
    memories.memories.cache_clear()


def test_without_a_version_the_highest_answers(versions):
    assert memories.find_memory("m").version == "10"
    assert memories.find_memory("m", "2").version == "2"
    assert memories.find_memory("plain").version is None


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
