"""The alert rules and the dashboard ask for what a loaded service really shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from testing.bodies import append_request, new_id, read_request
from testing.processes import ROOT, free_port
from testing.servers import wait_until_it_answers
from testing.service import Service
from tests.docs.pages import section
from tests.wire import Wire

pytestmark = pytest.mark.one_database

FOLDER = ROOT / "deploy/monitoring"
ALERTS = FOLDER / "alerts.yaml"
# What a query has beside metrics and labels.
WORDS = {"by", "le", "rate", "increase", "sum", "min", "count", "histogram_quantile"}
# Labels that Prometheus adds to what it scrapes, and the metric that it adds.
ADDED = {"instance", "job", "up"}
# After which each worker has set its gauges; it does so twice a second.
GAUGES_SECONDS = 30
# In which Prometheus has scraped twice, once a second.
SCRAPED_SECONDS = 60


def rules() -> list[dict[str, str]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, str]] = group["rules"]
    return found


def queries() -> list[str]:
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    return [*asked, *(rule["expr"] for rule in rules())]


def words_of(query: str) -> set[str]:
    """The metrics and labels in a query."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]', "", query)
    return set(re.findall(r"[A-Za-z_]\w*", bare)) - WORDS - ADDED


@pytest.fixture(scope="module")
def shown(service: Service) -> set[str]:
    """The names of all samples of a service that was used and refused things, and their labels."""
    infer = f"{service.url}/v2/models/memory/infer"
    for document in (append_request(new_id(), "Hi"), read_request(new_id()), {}):
        requests.post(infer, json=document, timeout=30)
    with Wire(service) as wire:
        wire.send(b"no HTTP\r\n\r\n")
        assert wire.reply()
    deadline = time.monotonic() + GAUGES_SECONDS
    page = ""
    while "rest_server_threads" not in page and time.monotonic() < deadline:
        page = requests.get(f"{service.url}/metrics", timeout=30).text
    samples = [each for family in text_string_to_metric_families(page) for each in family.samples]
    return {each.name for each in samples} | {label for each in samples for label in each.labels}


def test_every_query_names_only_metrics_and_labels_that_a_loaded_service_shows(shown):
    for query in queries():
        assert words_of(query) <= shown, query


def test_the_check_of_names_finds_a_wrong_one(shown):
    wrong = words_of('sum by (modell) (rate(memory_messages_total{version="1"}[5m]))') - shown
    assert wrong == {"modell", "memory_messages_total"}


def test_every_alert_has_its_place_in_the_docs_and_no_other_has():
    page = ROOT / "docs/howto/operate.md"
    named = [rule["alert"] for rule in rules()]
    assert re.findall(r"^### (Convstore\w+)$", page.read_text(), re.MULTILINE) == named
    for alert in named:
        assert len(section("docs/howto/operate.md", alert).split()) >= 20, alert


# Nothing has been refused for overload, so these have no series yet.
WITHOUT_SERIES = 'reason=~"overloaded|'


@pytest.fixture
def prometheus(service: Service, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus with the example's configuration, but for its times."""
    text = (FOLDER / "prometheus.yaml").read_text()
    for ours, here in (("localhost:8080", f"127.0.0.1:{service.port}"), (": 15s", ": 1s")):
        assert ours in text
        text = text.replace(ours, here)
    (tmp_path / "prometheus.yaml").write_text(text)
    shutil.copy(ALERTS, tmp_path)
    address, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
    command = [
        *("prometheus", f"--config.file={tmp_path / 'prometheus.yaml'}"),
        *(f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address={address}"),
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        url = f"http://{address}"
        wait_until_it_answers(
            process,
            lambda: requests.get(f"{url}/-/ready", timeout=5).raise_for_status(),
            requests.RequestException,
            log,
        )
        yield url
    finally:
        process.terminate()
        process.wait(60)


def result(prometheus: str, query: str) -> list[Any]:
    """The series that answer a query; those of a comparison also where it does not hold."""
    query = re.sub(r" (>|==) (?=[\d.]+$)", r" \1 bool ", query.replace("$__rate_interval", "5m"))
    asked = {"query": query}
    reply = requests.get(f"{prometheus}/api/v1/query", params=asked, timeout=30).json()
    assert reply["status"] == "success", (query, reply)
    series: list[Any] = reply["data"]["result"]
    return series


@pytest.mark.slow
@pytest.mark.needs("prometheus")
def test_every_query_is_answered_by_a_prometheus_that_scrapes_a_loaded_service(
    service, shown, prometheus
):
    deadline = time.monotonic() + SCRAPED_SECONDS
    unanswered = [query for query in queries() if WITHOUT_SERIES not in query]
    while unanswered:
        assert time.monotonic() < deadline, unanswered
        infer = f"{service.url}/v2/models/memory/infer"
        requests.post(infer, json=append_request(new_id(), "Hi"), timeout=30).raise_for_status()
        unanswered = [query for query in unanswered if not result(prometheus, query)]
    assert not result(prometheus, "memory_messages_total")
    (held,) = result(prometheus, "sum(rest_server_database_connections)")
    assert float(held["value"][1]) >= 1
    (group,) = requests.get(f"{prometheus}/api/v1/rules", timeout=30).json()["data"]["groups"]
    assert [rule["name"] for rule in group["rules"]] == [rule["alert"] for rule in rules()]


def promtool(rules: Path) -> subprocess.CompletedProcess[str]:
    command = ["promtool", "check", "rules", str(rules)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.needs("prometheus")
def test_prometheus_understands_every_rule_and_every_query_of_the_dashboard(tmp_path):
    done = promtool(ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = [
        {"record": f"query_{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries())
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": asked}]}))
    done = promtool(file)
    assert done.returncode == 0, done.stdout + done.stderr
    file.write_text(file.read_text().replace("sum by", "sum of by"))
    assert promtool(file).returncode != 0


@pytest.mark.needs("prometheus")
def test_prometheus_understands_the_example_of_its_configuration():
    command = ["promtool", "check", "config", str(FOLDER / "prometheus.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
