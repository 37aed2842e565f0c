"""`make serve`: what a newcomer meets, trouble included."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from memory_api.start_log import who_may_come
from testing.processes import checkout, free_port
from testing.service import Service, write_memories, write_memory

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return checkout(tmp_path / "checkout")


def serve(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A `make serve` that is expected to give up."""
    return subprocess.run(
        ["make", "serve"],
        cwd=project,
        env={**os.environ, "PORT": str(free_port()), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_taken_port_gets_one_sentence_that_says_what_to_do(project):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = serve(project, PORT=port)
    assert done.returncode != 0
    assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "choose another port, for example PORT=8081." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PORT", "http", "PORT is 'http'; it must be an integer from 1 to 65535."),
        ("PORT", "99999", "PORT is '99999'"),
        ("HOST", "no.such.host.invalid", "HOST 'no.such.host.invalid' is not an address"),
        ("DATABASE_TIMEOUT", "soon", "DATABASE_TIMEOUT is 'soon'; it must be an integer"),
        ("WORKERS", "0", "WORKERS is '0'; it must be an integer of at least 1"),
        ("THREADS", "many", "THREADS is 'many'; it must be an integer of at least 1"),
        ("MAX_CONNECTIONS", "8", "MAX_CONNECTIONS is 8 and THREADS is 8; MAX_CONNECTIONS must be"),
        ("DATABASE_URL", "redis://localhost", "DATABASE_URL: database 'redis' is not supported"),
        (
            "REQUIRE_API_KEYS",
            "http,grpc",
            "REQUIRE_API_KEYS has 'grpc'; it may have http, mlserver",
        ),
        ("MODELS_DIR", "nowhere", "MODELS_DIR: there is no folder {project}/nowhere"),
    ],
)
def test_a_wrong_setting_gets_one_sentence_that_names_it(project, variable, value, sentence):
    done = serve(project, **{variable: value})
    assert done.returncode != 0
    assert sentence.format(project=project) in done.stderr
    assert "Traceback" not in done.stderr


def disguised(python: Path, version: tuple[int, int]) -> None:
    """Write this Python to `python`, saying of itself that it is another."""
    disguise = f"import sys; sys.version_info = {version}\n"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$1" "{disguise}$2"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("version", [(3, 10), (2, 7)])
def test_a_wrong_python_gets_one_sentence_that_says_what_to_do(project, tmp_path, version):
    (project / ".venv").unlink()
    disguised(tmp_path / "python", version)
    done = serve(project, PYTHON=str(tmp_path / "python"))
    assert done.returncode != 0
    assert ".venv needs a Python 3.11 or newer, and none was found" in done.stderr
    assert not (project / ".venv").exists()


def test_where_every_python_is_too_new_for_mlserver_its_tests_can_do_without(project, tmp_path):
    (project / ".venv-mlserver").unlink()
    path = tmp_path / "path"
    path.mkdir()
    disguised(path / "python3", (3, 13))
    for program in ("make", "sh", "mkdir"):
        (path / program).symlink_to(str(shutil.which(program)))

    def make(target: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", target], cwd=project, env={"PATH": str(path)}, capture_output=True, text=True
        )

    for target, code in ((".venv-mlserver/installed", 0), ("mlserver", 2)):
        done = make(target)
        assert done.returncode == code, done.stderr
        assert ".venv-mlserver needs a Python from 3.11 to 3.12, and none was found" in done.stderr
    assert not (project / ".venv-mlserver").exists()


def test_a_database_that_is_down_does_not_keep_the_service_from_starting(tmp_path):
    with Service(tmp_path, DATABASE_URL="postgresql://u:TOPSECRET@127.0.0.1:1/d") as service:
        assert requests.get(f"{service.url}/v2/health/live", timeout=5).status_code == 200
        # The shipped memory keeps its messages in a file and serves all the same.
        assert requests.get(f"{service.url}/v2/health/ready", timeout=5).status_code == 200
        log = service.log.read_text()
    assert "DATABASE_URL: the database cannot be reached: " in log
    assert "TOPSECRET" not in log


def test_the_log_begins_with_what_is_served_and_who_may_come(tmp_path):
    write_memories(tmp_path / "models")
    write_memory(tmp_path / "models", "wrong", {"database": "sql", "config": {"window_size": 0}})
    service = Service(tmp_path, MODELS_DIR=str(tmp_path / "models"), THREADS="3")
    with service:
        wait_for(service, "convstore createsuperuser")
        log = service.log.read_text()
    lines = log.splitlines()
    assert "  four: window of 4 by message, in SQLite, conversations.sqlite3" in lines
    assert "  down: window of 10 by message, in PostgreSQL, nothing on 127.0.0.1:1" in lines
    assert any(line.startswith("  versioned, version 3: window of 10 ") for line in lines)
    assert "  wrong: unavailable" in lines
    assert "  127.0.0.1 is open to this machine only" in lines
    assert any(line.startswith("  V2 asks for no API key") for line in lines)
    assert f"Serving on {service.url} - " in log
    assert "secret" not in log
    assert log.count("The admin has no user") == 1


@pytest.mark.parametrize(
    ("address", "who"),
    [
        (("::1", 80, 0, 0), "::1 is open to this machine only"),
        (("0.0.0.0", 80), "every address is open to whoever reaches this machine"),  # noqa: S104
        (("::", 80, 0, 0), "every address is open to whoever"),
        (("192.0.2.7", 80), "192.0.2.7 is open to whoever"),
        ("/run/convstore.sock", "/run/convstore.sock is open to processes of this machine"),
    ],
)
def test_who_may_come_is_said_of_each_address(address, who):
    assert who_may_come(address).startswith(who)


def wait_for(service: Service, text: str) -> None:
    deadline = time.monotonic() + 60
    while text not in service.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_second_start_does_nothing_but_serve(tmp_path):
    """It installs nothing and writes no file, so it is quick."""
    with Service(tmp_path) as service:
        pass
    written = contents(service.folder / "data")
    assert "conversations.sqlite3" in written
    steps = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "serve"],
        cwd=service.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert steps.stdout.splitlines() == ["exec .venv/bin/python -m convstore serve"]
    with Service(tmp_path):
        pass
    assert contents(service.folder / "data") == written


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_settings_of_gunicorn_are_honoured(tmp_path):
    with Service(tmp_path, WORKERS="2", THREADS="3", HOST="127.0.0.1") as service:
        deadline = time.monotonic() + 60
        while (log := service.log.read_text()).count("Booting worker") < 2:
            assert time.monotonic() < deadline, log
            time.sleep(0.05)
    assert log.count("Booting worker") == 2
    assert f"Listening at: http://127.0.0.1:{service.port}" in log


def test_the_key_that_signs_sessions_is_made_once_and_private(tmp_path):
    with Service(tmp_path) as service:
        path = service.folder / "data" / "secret_key"
        key = path.read_text()
    assert len(key) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with Service(tmp_path):
        assert path.read_text() == key
