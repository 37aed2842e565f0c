"""The files of examples/integrations, each with its framework, in an environment of their own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from testing.processes import ROOT

EXAMPLES = ROOT / "examples/integrations"
PROGRAM = Path(__file__).parent / "programs/integrations.py"
FRAMEWORKS = ("agent_framework", "google_adk", "llama_index", "pydantic_ai")


@pytest.mark.soak_only
@pytest.mark.one_database
@pytest.mark.needs("frameworks")
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_keeps_its_conversations(framework: str) -> None:
    inherited = {name: os.environ[name] for name in os.environ if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [ROOT / ".venv-frameworks/bin/python", PROGRAM, framework],
        env={**inherited, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, EXAMPLES)))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_example_is_tried() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert len(names) == len(FRAMEWORKS)
    assert all(any(name.startswith(framework) for name in names) for framework in FRAMEWORKS)
