"""The table of rooms in CONTRIBUTING.md has every module, and no other."""

from __future__ import annotations

from tests.docs.pages import ROOT, rows, section, words

PACKAGES = (
    "api_keys",
    "conversations_api",
    "convstore",
    "convstore_agents",
    "memory_api",
    "inspection",
    "mlserver_bridge",
)


def rooms() -> list[str]:
    """The paths in the first column; a name without a folder is beside the one before it."""
    paths: list[str] = []
    for room, *_ in rows(section("CONTRIBUTING.md", "Rooms")):
        folder = ""
        for path in words(room):
            first, _, _ = path.partition("/")
            if first in PACKAGES:
                folder = f"{first}/"
            paths.append(path if first in PACKAGES else folder + path)
    return paths


def test_every_room_is_there() -> None:
    for path in rooms():
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path


def test_every_module_has_its_room() -> None:
    named = rooms()
    folders = tuple(path for path in named if path.endswith("/"))
    modules = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    homeless = {path for path in modules if path not in named and not path.startswith(folders)}
    assert homeless == set()
