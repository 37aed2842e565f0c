"""The wheel in an empty environment: `convstore` in an empty folder does what `make serve` does."""

from __future__ import annotations

import re
import secrets
import shlex
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import requests

import convstore
from testing.bodies import new_id, read_request
from testing.collector import Collector, children
from testing.processes import ROOT, START_SECONDS, free_port, in_group
from tests.acceptance.test_seldon_examples import (
    FIVE_MESSAGES,
    endpoint,
    get_inference_request,
    history,
    say,
)
from tests.package.installation import Installation, Served, completed


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """One for all tests: building and installing it takes a while."""
    return Installation.make(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def served(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with Served(installation, tmp_path_factory.mktemp("served")) as served:
        yield served


def listening(served: Served) -> set[Any]:
    """Where the processes of the service listen, as the kernel has it."""
    processes = [psutil.Process(pid) for pid in psutil.pids() if in_group(pid, served.process.pid)]
    assert len(processes) >= 2
    return {
        connection.laddr
        for process in processes
        for connection in process.net_connections("all")
        if connection.status == psutil.CONN_LISTEN or connection.family == socket.AF_UNIX
    }


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def announced(served: Served) -> str:
    """The address that the service says it can be reached at."""
    (address,) = re.findall(r"^Serving on (\S+) - ", served.log.read_text(), re.MULTILINE)
    return str(address)


# --- What is in it -----------------------------------------------------------------------


def test_the_wheel_holds_every_file_that_serves_and_no_other(installation):
    with zipfile.ZipFile(installation.wheel) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    listed = subprocess.check_output(
        ["git", "ls-files", "api_keys", "conv*", "inspection", "memory_api", "mlserver_*"],
        cwd=ROOT,
        text=True,
    )
    assert packed == set(listed.split())


def test_the_wheel_and_the_command_have_the_version(installation, tmp_path):
    assert installation.wheel.name.startswith(f"convstore-{convstore.__version__}-")
    done = installation.run("--version", folder=tmp_path)
    assert done.stdout == f"convstore {convstore.__version__}\n"


# --- In an empty folder ------------------------------------------------------------------


def test_the_printed_address_is_the_only_one_that_is_listened_on(served):
    assert announced(served) == f"http://127.0.0.1:{served.port}"
    assert listening(served) == {("127.0.0.1", served.port)}
    assert "Using worker: memory_api.server.worker.BufferingWorker" in served.log.read_text()


def test_seldons_client_is_answered(served):
    memory_id = new_id()
    say(endpoint(served), memory_id, FIVE_MESSAGES)
    reply = get_inference_request(memory_id=memory_id, endpoint=endpoint(served))
    assert len(history(reply)) == len(FIVE_MESSAGES)
    assert "memory_api/default_models" in served.log.read_text()


@pytest.mark.needs("otel")
def test_with_the_extra_otel_spans_are_sent(installation, tmp_path):
    traced = installation.with_extra("otel", tmp_path)
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    with Collector() as collector, Served(traced, tmp_path, **collector.environment) as served:
        requests.post(
            f"{served.url}/v2/models/filesys-memory/infer",
            json=read_request(new_id()),
            headers={"traceparent": f"00-{trace_id}-{span_id}-01"},
            timeout=30,
        ).raise_for_status()
        collector.trace(trace_id, lambda spans: bool(children(spans, bytes.fromhex(span_id))))


@pytest.mark.parametrize("page", ["/admin/login/", "/v2/docs"])
def test_a_page_comes_with_its_styles_and_scripts_compressed_and_kept_by_the_browser(served, page):
    text = requests.get(served.url + page, timeout=10).text
    paths = re.findall(r'(?:href|src)="(/admin-static/[^"]+)"', text)
    assert {path.rpartition(".")[2] for path in paths} >= {"css", "js"}
    for path in paths:
        file = requests.get(served.url + path, timeout=10)
        assert file.status_code == 200, path
        assert file.headers["Content-Encoding"] == "gzip"
        assert "max-age" in file.headers["Cache-Control"]
        known = {"If-None-Match": file.headers["ETag"]}
        assert requests.get(served.url + path, headers=known, timeout=10).status_code == 304


def test_metrics_of_all_worker_processes_add_up(installation, tmp_path):
    with Served(installation, tmp_path, WORKERS="2") as served:
        say(endpoint(served), new_id(), FIVE_MESSAGES)
        metrics = requests.get(f"{served.url}/metrics", timeout=10).text
    (stored,) = re.findall(r"^memory_messages_stored_total\{.*\} (.*)$", metrics, re.MULTILINE)
    assert float(stored) == len(FIVE_MESSAGES)


def test_nothing_is_written_but_the_folder_of_data(installation, tmp_path):
    before = installation.files()
    (temporary := tmp_path / "temporary").mkdir()
    with Served(installation, tmp_path, TMPDIR=str(temporary)) as served:
        say(endpoint(served), new_id(), FIVE_MESSAGES)
        requests.get(f"{served.url}/admin/", timeout=10).raise_for_status()
        (metrics,) = temporary.iterdir()
        assert any(metrics.glob("*.db"))
    assert installation.files() == before
    assert [path.name for path in served.folder.iterdir()] == ["data"]
    assert {path.name for path in (served.folder / "data").iterdir()} >= {
        "conversations.sqlite3",
        "secret_key",
    }
    assert not any(temporary.iterdir())


def test_files_that_lie_in_the_folder_are_neither_settings_nor_modules(installation, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "gunicorn.conf.py").write_text("bind = '0.0.0.0:1'\n")
    for module in ("convstore", "inspection", "json", "settings"):
        (folder / f"{module}.py").write_text("raise RuntimeError(__file__)\n")
    with Served(installation, tmp_path) as served:
        assert listening(served) == {("127.0.0.1", served.port)}


# --- What may be set ---------------------------------------------------------------------


def test_arguments_of_gunicorn_in_the_environment_override_ours(installation, tmp_path):
    port = free_port()
    arguments = f"--bind 127.0.0.1:{port} --workers 2"
    served = Served(installation, tmp_path, GUNICORN_CMD_ARGS=arguments, PORT="1")
    served.port = port  # where it is waited for
    with served:
        assert announced(served) == f"http://127.0.0.1:{port}"
        assert listening(served) == {("127.0.0.1", port)}
        wait_until(lambda: served.log.read_text().count("Booting worker") == 2)


def test_a_taken_port_gets_one_sentence_that_says_who_chose_it(installation, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for environment, hint in (
            ({"PORT": str(port)}, "for example PORT=8081."),
            ({"GUNICORN_CMD_ARGS": f"-b 127.0.0.1:{port}"}, "this one is in GUNICORN_CMD_ARGS."),
        ):
            done = installation.run("serve", folder=tmp_path, **environment)
            assert done.returncode == 1
            assert done.stderr == (
                f"CommandError: Cannot listen on 127.0.0.1:{port} (Address already in use):"
                f" choose another port, {hint}\n"
            )


def test_an_argument_that_gunicorn_does_not_know_is_named(installation, tmp_path):
    done = installation.run("serve", folder=tmp_path, GUNICORN_CMD_ARGS="--bidn 127.0.0.1:1")
    assert done.returncode == 2
    assert "GUNICORN_CMD_ARGS: error: unrecognized arguments: --bidn" in done.stderr


def test_one_folder_holds_all_that_is_kept_wherever_the_command_runs(installation, tmp_path):
    data = tmp_path / "somewhere" / "else"
    memory_id = new_id()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with Served(installation, tmp_path / name, DATA_DIR=str(data)) as served:
            say(endpoint(served), memory_id, FIVE_MESSAGES[:1])
            reply = get_inference_request(memory_id=memory_id, endpoint=endpoint(served))
        assert list(served.folder.iterdir()) == []
    assert len(history(reply)) == 2
    assert {path.name for path in data.iterdir()} >= {"conversations.sqlite3", "secret_key"}


# --- Other commands ----------------------------------------------------------------------


def test_the_other_commands_are_there(installation, tmp_path):
    for arguments in (
        "migrate --verbosity 0",
        "migrate_memories",
        "createsuperuser --noinput --username admin --email a@example.org",
        "check --database default",
        "axes_reset",
    ):
        password = {"DJANGO_SUPERUSER_PASSWORD": "correct horse battery"}
        done = installation.run(*arguments.split(), folder=tmp_path, **password)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("WORKERS", "0", "WORKERS is '0'; it must be an integer of at least 1."),
        ("DATABASE_URL", "postgresql://u@127.0.0.1:1/d", "The database cannot be used: "),
    ],
)
def test_what_is_wrong_is_a_sentence_and_not_a_traceback(
    installation, tmp_path, variable, value, sentence
):
    done = installation.run("createsuperuser", folder=tmp_path, **{variable: value})
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert "Traceback" not in done.stderr


# --- Drivers -----------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "mysql://u@h/d", "oracle://u@h/d"])
def test_the_drivers_of_these_databases_come_along(installation, tmp_path, url):
    assert "no issues" in installation.run("check", folder=tmp_path, DATABASE_URL=url).stdout


def test_the_error_about_a_missing_driver_names_the_command_that_brings_it(installation, tmp_path):
    def check() -> str:
        url = {"DATABASE_URL": "mssql://u:p@h/d"}
        done = installation.run("check", folder=tmp_path, **url)
        return f"{done.stdout}{done.stderr}"

    output = check()
    command = output.strip().rpartition("run ")[2]
    assert command == "pip install 'convstore[mssql]'"
    python = ["--python", str(installation.python)]
    arguments = [*python, *shlex.split(command)[1:], "--quiet"]
    folder = {"PIP_FIND_LINKS": str(installation.wheel.parent)}
    done = completed([ROOT / ".venv/bin/pip", *arguments], tmp_path, **folder)
    assert done.returncode == 0, done.stderr
    assert re.search("no issues|SQL Server needs a library of the system", check())
