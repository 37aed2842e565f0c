"""One installation for all tests of the package: building and installing it takes a while."""

from __future__ import annotations

import pytest

from tests.package.installation import Installation


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation.make(tmp_path_factory.mktemp("package"))
