"""The Dockerfile's image, built and started: no root, a read-only root, and both doors.

The base image is a stand-in (`base_image`) and containers are started without an engine
(`containers`); the Dockerfile, `make image` and what is in the image are the real ones.
"""

from __future__ import annotations

import json
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy.engine import make_url

from testing.processes import ROOT, SHIPPED_MODELS
from tests.acceptance.test_seldon_examples import (
    FIVE_MESSAGES,
    SYSTEM_FIRST,
    assert_as_printed,
    element,
    get_inference_request,
    history,
    memory_id_of,
    printed,
    say,
    send_inference_request,
    write,
)
from tests.deploy import base_image
from tests.deploy.containers import Container, Image, data_folder
from tests.deploy.manifests import documents

pytestmark = [
    pytest.mark.soak_only,
    pytest.mark.needs("buildah", "debootstrap", "containers", "postgresql"),
]

# What follows the image's name at `docker run`.
DOORS: dict[str, list[str]] = {"http": [], "mlserver": ["mlserver", "start", "/memories"]}
# In the container: who it is, and what happens where it tries to write.
TRY = """
import errno, json, os, sys
def tried(folder):
    try:
        open(folder + "/written", "w").close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "written"
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "user": [os.getuid(), os.getgid(), os.getgroups()],
    "rights": {int(status[name], 16) for name in status if name.startswith("Cap")} != {0},
    "may gain more": status["NoNewPrivs"].strip() != "1",
    "folders": {folder: tried(folder) for folder in sys.argv[1:]},
}))
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """What `make image` builds with buildah, in a storage that is removed again."""
    folder = tmp_path_factory.mktemp("image")
    storage = f'driver = "vfs"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    (folder / "storage.conf").write_text(f"[storage]\n{storage}")
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("CONTAINERS_STORAGE_CONF", f"{folder}/storage.conf")
            environment.setenv("BUILDAH_ISOLATION", "chroot")
            environment.setenv("DOCKER_HOST", f"unix://{folder}/nobody")  # so buildah it is
            base_image.make(folder)
            volumes = [f"--volume={volume}" for volume in base_image.volumes_for_pip(folder)]
            flags = " ".join(["--pull-never", *volumes])
            make = ["make", "-C", str(ROOT), "image", f"IMAGE_FLAGS={flags}"]
            base_image.output(*make, timeout=400)
            image = Image.named("convstore")
        yield image
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def doors(
    image: Image,
    new_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Container]]:
    """Both doors with the document's two memories, one of them on a PostgreSQL of ours."""
    settings = psql_memory()
    url = make_url(new_database("postgresql")).set(drivername="postgresql+pg8000")
    settings["parameters"]["extra"]["config"]["url"] = url.render_as_string(hide_password=False)
    with ExitStack() as open_doors:
        doors = {}
        for name, arguments in DOORS.items():
            folder = tmp_path_factory.mktemp(name)
            memories = folder / "memories"
            shutil.copytree(SHIPPED_MODELS / "filesys-memory", memories / "filesys-memory")
            write(memories / "psql-memory", settings)
            volumes = {"/memories": memories, "/app/data": data_folder(folder / "data")}
            door = Container(image, folder, *arguments, volumes=volumes, MODELS_DIR="/memories")
            doors[name] = open_doors.enter_context(door)
        yield doors


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, doors: dict[str, Container]) -> Container:
    return doors[request.param]


def psql_memory() -> dict[str, Any]:
    """The document's settings of a memory on PostgreSQL."""
    text = (ROOT / "examples/models/psql-memory/model-settings.json").read_text()
    settings: dict[str, Any] = json.loads(text)
    return settings


def endpoint(door: Container, memory: str = "filesys-memory") -> str:
    return f"{door.url}/v2/models/{memory}/infer"


# --- The document, at both doors ---------------------------------------------------------


def test_five_messages_come_back_as_printed(door):
    reply = printed("five_messages")
    memory_id = memory_id_of(reply)
    say(endpoint(door), memory_id, FIVE_MESSAGES)
    response = get_inference_request(memory_id=memory_id, endpoint=endpoint(door))
    assert_as_printed(response, reply)


def test_two_parts_come_back_as_printed(door):
    reply = printed("two_parts")
    response = send_inference_request(
        role=["user"],
        content=["This is the first input", "This is the second input"],
        type=["text", "text"],
        memory_id=memory_id_of(reply),
        endpoint=endpoint(door),
    )
    assert_as_printed(response, reply)


def test_the_postgresql_sample_comes_back_whole(door):
    url = endpoint(door, "psql-memory")
    memory_id = str(uuid.uuid4())
    say(url, memory_id, SYSTEM_FIRST)
    response = get_inference_request(memory_id=memory_id, endpoint=url)
    assert history(response) == [element(*message) for message in SYSTEM_FIRST]


def test_the_healthcheck_says_whether_the_door_is_open(door):
    assert door.image.is_healthy(**door.environment)
    assert not door.image.is_healthy(PORT="1")
    assert not door.image.is_healthy(MLSERVER_HTTP_PORT="1")


# --- What runs, and how it ends ----------------------------------------------------------


@pytest.mark.parametrize("name", DOORS)
def test_it_ends_when_it_is_told_to_and_the_volume_keeps_the_conversation(image, tmp_path, name):
    volumes = {
        "/memories": SHIPPED_MODELS,
        "/app/data": data_folder(tmp_path / "data"),
    }
    memory_id = str(uuid.uuid4())
    with Container(image, tmp_path, *DOORS[name], volumes=volumes) as container:
        say(endpoint(container), memory_id, FIVE_MESSAGES)
        assert container.stop() == 0
    with Container(image, tmp_path, *DOORS[name], volumes=volumes) as container:
        response = get_inference_request(memory_id=memory_id, endpoint=endpoint(container))
    assert history(response) == [element(*message) for message in FIVE_MESSAGES]


def test_as_seldon_core_2_starts_it_and_loads_models_the_image_serves_them(
    image, new_database, tmp_path
):
    """No command, an empty folder of models, and a model that comes later and is loaded."""
    models = tmp_path / "models"
    models.mkdir()
    volumes = {"/mnt/agent/models": models}
    environment = {
        "MLSERVER_MODELS_DIR": "/mnt/agent/models",
        "MLSERVER_LOAD_MODELS_AT_STARTUP": "false",
        "DATABASE_URL": new_database("postgresql"),
    }
    settings = psql_memory()
    settings["name"] = "psql-memory_1"
    settings["parameters"]["version"] = "1"
    del settings["parameters"]["extra"]["config"]["url"]  # it is in the environment
    settings["parameters"]["extra"]["config"]["window_size"] = 4
    with Container(image, tmp_path, volumes=volumes, **environment) as container:
        write(models / "psql-memory_1", settings)
        load = f"{container.url}/v2/repository/models/psql-memory_1/load"
        requests.post(load, timeout=60).raise_for_status()
        reply = printed("postgresql")
        url = endpoint(container, "psql-memory_1")
        say(url, memory_id_of(reply), SYSTEM_FIRST)
        response = get_inference_request(memory_id=memory_id_of(reply), endpoint=url)
        assert_as_printed(response, reply)


def test_as_kubernetes_runs_it_the_job_makes_the_tables_and_the_pods_wait_for_them(
    image, new_database, tmp_path
):
    (job,) = documents(ROOT / "deploy/kubernetes/migrate.yaml")
    (deployment,) = documents(ROOT / "deploy/kubernetes/deployment.yaml")
    (migrate,) = job["spec"]["template"]["spec"]["containers"]
    (wait,) = deployment["spec"]["template"]["spec"]["initContainers"]
    (http,) = deployment["spec"]["template"]["spec"]["containers"]
    volumes = {"/models": ROOT / "deploy/kubernetes/models"}
    environment = {"DATABASE_URL": new_database("postgresql"), "SECRET_KEY": "secret"}

    def run(*arguments: str) -> int:
        code: int = image.run(*arguments, environment=environment, volumes=volumes).returncode
        return code

    assert wait["args"][2].startswith("until convstore migrate --check; ")
    assert run("convstore", "migrate", "--check") == 1
    assert run(*migrate["args"]) == 0
    assert run(*wait["args"]) == 0
    with Container(image, tmp_path, *http["args"], volumes=volumes, **environment) as container:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = http[probe]["httpGet"]["path"]
            assert requests.get(f"{container.url}{path}", timeout=5).status_code == 200
        responses = say(endpoint(container, "memory"), str(uuid.uuid4()), FIVE_MESSAGES)
        assert len(history(responses[-1])) == len(FIVE_MESSAGES)
        assert container.stop() == 0


def test_where_nothing_is_set_it_listens_to_everybody_on_the_ports_that_are_exposed(image):
    assert "HOST=0.0.0.0" in image.config["Env"]
    assert not [it for it in image.config["Env"] if it.startswith(("PORT=", "MLSERVER_HTTP_PORT="))]
    assert list(image.config["ExposedPorts"]) == ["8080/tcp", "8081/tcp", "8082/tcp"]


# --- What it may do ----------------------------------------------------------------------


def test_it_runs_as_nobody_special_and_writes_to_its_data_and_to_tmp_only(image, tmp_path):
    volumes = {"/app/data": data_folder(tmp_path / "data")}
    folders = ["/", "/app", "/models", "/opt/venv", "/app/data", "/tmp"]  # noqa: S108
    done = image.run("python", "-c", TRY, *folders, volumes=volumes)
    assert json.loads(done.stdout) == {
        "user": [1000, 1000, []],
        "rights": False,
        "may gain more": False,
        "folders": {
            **dict.fromkeys(folders[:-2], "EROFS"),
            **dict.fromkeys(folders[-2:], "written"),
        },
    }


def test_even_with_a_writable_root_nothing_of_the_image_is_the_users_but_its_data(image):
    ours = [path for top in ("app", "models", "opt") for path in (image.root / top).rglob("*")]
    theirs = [path for path in ours if may_be_written_by_others(path.lstat())]
    assert [path.relative_to(image.root) for path in theirs] == [Path("app/data")]


def may_be_written_by_others(status: Any) -> bool:
    is_open = status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode)
    return bool(is_open) or (status.st_uid, status.st_gid) != (0, 0)


def test_nothing_is_in_the_image_but_what_serves(image):
    assert {path.name for path in (image.root / "app").iterdir()} == {"manage.py", "data"}
    assert list((image.root / "app/data").iterdir()) == []
    assert [path.name for path in (image.root / "models").glob("*/*")] == ["model-settings.json"]


def test_what_serves_is_compiled_since_nothing_can_be_compiled_later(image):
    for package in ("memory_api", "mlserver_bridge", "django/core"):
        (folder,) = image.root.glob(f"opt/venv/lib/*/*/{package}")
        compiled = {path.name.split(".")[0] for path in folder.glob("__pycache__/*.pyc")}
        assert compiled == {path.stem for path in folder.glob("*.py")}


def test_the_driver_for_mysql_and_mariadb_is_there(image):
    environment = {"DATABASE_URL": "mysql://u:p@localhost/d", "SECRET_KEY": "secret"}
    done = image.run("convstore", "check", environment=environment)
    assert "no issues" in done.stdout, done.stderr
    assert image.run("python", "-c", "import cryptography").returncode == 0
