"""The prefix below which the service lives, whether a proxy removes it or not."""

from __future__ import annotations

import pytest

from convstore.path_prefix import path_below_prefix


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("/chat/v2/docs", "/v2/docs"),
        ("/chat/", "/"),
        ("/chat", "/"),
        ("/v2/docs", "/v2/docs"),
        ("/chatter/v2", "/chatter/v2"),
        ("/chat/chat/", "/chat/"),
        ("/", "/"),
    ],
)
def test_the_prefix_is_removed_where_it_is_a_whole_step_of_the_path(settings, path, below):
    settings.FORCE_SCRIPT_NAME = "/chat"
    assert path_below_prefix(path) == below


def test_without_a_prefix_a_path_stays_as_it_is(settings):
    settings.FORCE_SCRIPT_NAME = None
    assert path_below_prefix("/v2/docs") == "/v2/docs"
