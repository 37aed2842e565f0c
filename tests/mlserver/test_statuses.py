"""Every reason for a failure has a status at the MLServer door.

The runtime is imported where MLServer is installed, in `.venv-mlserver`.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from testing.processes import ROOT

pytestmark = pytest.mark.needs("mlserver")

# Its last line is a JSON object: the status and the sentence of each class.
PROGRAM = """
import json
from mlserver_bridge.runtime import STATUSES
from api_keys.errors import AccessError
from convstore.errors import StoreError
from memory_api.errors import BadRequest, RequestError, SettingsError, status_and_sentence
from memory_api.tables import TablesNotReady

class NoSuchTensor(BadRequest): pass
class Standby(TablesNotReady): pass

def with_subclasses(base):
    yield base
    for subclass in base.__subclasses__():
        yield from with_subclasses(subclass)

print(json.dumps({
    each.__name__: status_and_sentence(each("wrong"), STATUSES, where="model m", request_id="1")
    for base in (RequestError, StoreError, SettingsError, AccessError)
    for each in with_subclasses(base)
}))
"""


def test_every_reason_has_a_status_that_makes_the_agent_reload_nothing(tmp_path):
    done = subprocess.run(
        [ROOT / ".venv-mlserver" / "bin" / "python", "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/test.sqlite3"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answers = json.loads(done.stdout.splitlines()[-1])

    # Abstract, or raised while the settings are read and never by a request.
    for name in ("StoreError", "DatabaseUrlError", "AccessError"):
        status, sentence = answers.pop(name)
        assert status == 500
        assert sentence.startswith("the server failed")
    assert answers == {
        "RequestError": [422, "wrong"],
        "BadRequest": [422, "wrong"],
        "NoSuchTensor": [422, "wrong"],
        "TooLarge": [422, "wrong"],
        "UnknownMemory": [422, "wrong"],
        "MemoryUnavailable": [503, "wrong"],
        "SettingsError": [422, "wrong"],
        "MessageTooLarge": [422, "wrong"],
        "WindowTooLarge": [422, "wrong"],
        "WrongPosition": [422, "wrong"],
        "RequestKeyReused": [422, "wrong"],
        "IdentityClash": [500, "wrong"],
        "Unavailable": [503, "wrong"],
        "TablesNotReady": [503, "wrong"],
        "UnsafeDatabase": [503, "wrong"],
        "Standby": [503, "wrong"],
        "NoValidKey": [401, "wrong"],
        "NotAllowed": [403, "wrong"],
        "TooManyRequests": [429, "wrong"],
    }


LOAD = """
import asyncio
from mlserver.settings import ModelSettings
from mlserver_bridge.runtime import ConversationalMemory

settings = {"name": "m", "implementation": "mlserver_memory.ConversationalMemory"}
settings["parameters"] = {"extra": {"database": "sql", "config": {}}}
asyncio.run(ConversationalMemory(ModelSettings(**settings)).load())
print("loaded")
"""


@pytest.mark.parametrize("has_database", [True, False])
def test_where_keys_are_asked_for_nothing_is_loaded_without_their_database(tmp_path, has_database):
    environment = {**os.environ, "REQUIRE_API_KEYS": "mlserver", "DATA_DIR": str(tmp_path)}
    environment.pop("DATABASE_URL", None)
    if has_database:
        environment["DATABASE_URL"] = f"sqlite:///{tmp_path}/test.sqlite3"
    done = subprocess.run(
        [ROOT / ".venv-mlserver" / "bin" / "python", "-c", LOAD],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ("loaded" in done.stdout) == has_database
    assert ("there is no DATABASE_URL to find API keys in" in done.stderr) != has_database
