"""The workflows install all that tests need: what is missing would be left out in silence."""

from __future__ import annotations

import pytest

from testing.processes import ROOT
from tests.machine import NEEDS

# What only proofs need that `make soak` alone runs.
SOAK_ONLY = {
    "buildah",
    "debootstrap",
    "etcd-server",
    "patroni",
    ".venv-frameworks/installed",
}


@pytest.mark.parametrize(("workflow", "left_out"), [("tests", SOAK_ONLY), ("soak", set())])
def test_a_workflow_installs_what_tests_need(workflow, left_out):
    text = (ROOT / f".github/workflows/{workflow}.yml").read_text()
    if workflow == "soak":
        text += targets_of_soak()
    commands = [need.brought_by for need in NEEDS.values()]
    needed = {
        word
        for command in commands
        if command.startswith(("apt-get install ", "make "))
        for word in command.removeprefix("apt-get install ").removeprefix("make ").split()
    }
    assert needed - left_out <= set(text.split())


def targets_of_soak() -> str:
    """What `make soak` makes before its tests."""
    rule = (ROOT / "Makefile").read_text().split("\nsoak:")[1].split("\n\t@")[0]
    return rule.replace("$(VENV)", ".venv").replace(
        "$(JAVASCRIPT)", "tests/acceptance/clients/javascript"
    )
