"""gunicorn's own options and signals, with our worker and, for TLS, without it."""

from __future__ import annotations

import ipaddress
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from testing.bodies import append_request, new_id
from testing.processes import process_group
from testing.service import Service

pytestmark = [pytest.mark.one_database, pytest.mark.slow]

INFER = "/v2/models/filesys-memory/infer"
COLLECT_IN_THE_SECOND_WORKER = """
import gc

def post_fork(server, worker):
    if worker.age == 2:
        gc.collect()
"""


def append(service: Service, session: requests.Session) -> int:
    document = append_request(new_id(), "Hi")
    return session.post(service.url + INFER, json=document, timeout=30).status_code


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def booted(service: Service) -> list[str]:
    return re.findall(r"Booting worker with pid: (\d+)", service.log.read_text())


def counted(service: Service) -> float:
    """How many requests the page of metrics says were answered."""
    page = requests.get(f"{service.url}/metrics", timeout=30).text
    return sum(map(float, re.findall(r"^model_infer_request_success_total\{.* (\S+)$", page, re.M)))


def metrics_folder(service: Service) -> Path:
    opened = [file for each in process_group(service.process.pid) for file in each.open_files()]
    return next(Path(file.path).parent for file in opened if "/counter_" in file.path)


def gunicorn(service: Service) -> psutil.Process:
    """The process that has the workers as its children."""
    parents = {process.ppid() for process in process_group(service.process.pid)}
    workers = {int(pid) for pid in booted(service)}
    (pid,) = {psutil.Process(pid).ppid() for pid in workers if psutil.pid_exists(pid)} & parents
    return psutil.Process(pid)


def own_memory(pid: int) -> int:
    """The kilobytes that this process has written, and so shares with no other one."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    (kilobytes,) = re.findall(r"^Private_Dirty: +(\d+) kB$", rollup, re.MULTILINE)
    return int(kilobytes)


def test_a_worker_that_has_served_its_share_is_replaced_and_no_request_fails(tmp_path):
    arguments = "--max-requests 10"
    with (
        Service(tmp_path, GUNICORN_CMD_ARGS=arguments, WORKERS="2") as service,
        requests.Session() as kept,
    ):
        for _ in range(30):
            assert append(service, kept) == 200
            assert append(service, requests.Session()) == 200
        wait_until(lambda: len(booted(service)) > 3)


def test_a_garbage_collection_copies_nothing_that_workers_share(tmp_path):
    hook = tmp_path / "hook.py"
    hook.write_text(COLLECT_IN_THE_SECOND_WORKER)
    arguments = f"--config {hook}"
    with Service(tmp_path / "service", GUNICORN_CMD_ARGS=arguments, WORKERS="2") as service:
        wait_until(lambda: len(booted(service)) == 2)
        wait_until(lambda: requests.get(f"{service.url}/v2/health/ready", timeout=30).ok)
        usual, collected = (own_memory(int(pid)) for pid in booted(service))
    assert collected < 1.2 * usual


def test_a_reload_fails_no_request(tmp_path):
    with Service(tmp_path) as service, requests.Session() as kept:
        assert append(service, kept) == 200
        gunicorn(service).send_signal(signal.SIGHUP)
        statuses = set()
        while len(booted(service)) < 2:
            statuses.add(append(service, requests.Session()))
        for _ in range(10):
            statuses.add(append(service, requests.Session()))
        assert statuses == {200}


def test_another_gunicorn_takes_over_and_no_request_fails(tmp_path):
    with Service(tmp_path) as service, requests.Session() as kept:
        assert append(service, kept) == 200
        old = gunicorn(service)
        old.send_signal(signal.SIGUSR2)
        statuses: Counter[int] = Counter()
        while len(booted(service)) < 2:
            statuses.update([append(service, requests.Session())])
        old.send_signal(signal.SIGTERM)
        while psutil.pid_exists(old.pid):
            statuses.update([append(service, requests.Session())])
        for _ in range(10):
            statuses.update([append(service, requests.Session())])
        assert set(statuses) == {200}
        assert counted(service) == 1 + statuses.total()


def test_metrics_of_several_workers_add_up_and_never_go_down(tmp_path):
    arguments = "--max-requests 10"
    with Service(tmp_path, GUNICORN_CMD_ARGS=arguments, WORKERS="2") as service:
        assert append(service, requests.Session()) == 200
        folder = metrics_folder(service)
        for appended in range(2, 61):
            assert append(service, requests.Session()) == 200
            assert counted(service) == appended  # whichever worker answers, and whoever ended
        wait_until(lambda: len(booted(service)) > 6)

        def is_merged() -> bool:
            # While somebody reads the files, they stay until the next worker ends.
            assert append(service, requests.Session()) == 200
            return len(list(folder.glob("counter_*.db"))) <= 5

        wait_until(is_merged)


def test_the_access_log_has_a_line_for_each_request(tmp_path):
    with Service(tmp_path, GUNICORN_CMD_ARGS="--access-logfile -") as service:
        assert append(service, requests.Session()) == 200
        line = rf'127\.0\.0\.1 .* "POST {INFER} HTTP/1\.1" 200 \d+'
        wait_until(lambda: bool(re.search(line, service.log.read_text())))
        assert "request_id=" not in service.log.read_text()  # once is enough


# --- TLS ---------------------------------------------------------------------------------


class SecureService(Service):
    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


def write_certificate(file: Path) -> None:
    """A key and a certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))


def test_with_tls_gunicorns_own_worker_serves(tmp_path, monkeypatch):
    file = tmp_path / "certificate.pem"
    write_certificate(file)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    arguments = f"--certfile {file} --keyfile {file}"
    with SecureService(tmp_path, GUNICORN_CMD_ARGS=arguments) as service:
        assert append(service, requests.Session()) == 200
        assert "Using worker: gthread" in service.log.read_text()
