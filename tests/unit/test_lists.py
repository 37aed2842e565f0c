"""The filters and actions of the admin's lists."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin

import convstore.urls  # noqa: F401 - the admin's pages are imported with the URLs
from api_keys.making import KeyRow
from convstore.archive.conversations import ConversationRow
from inspection.audit import Action
from inspection.export import FORMATS
from inspection.lists import KeysetAdmin, KeysetList
from inspection.models import AuditEntry, ListedConversation

LISTS: list[KeysetAdmin] = [
    each for each in admin.site._registry.values() if isinstance(each, KeysetAdmin)
]


def test_all_lists_use_keyset_pagination():
    assert {each.model for each in LISTS} == {ConversationRow, AuditEntry, KeyRow}


@pytest.mark.parametrize("model_admin", LISTS, ids=str)
def test_a_list_accepts_only_the_parameters_of_its_filters(model_admin):
    shown: Any = KeysetList.__new__(KeysetList)
    shown.list_filter = model_admin.list_filter
    fields = {field.name: ["x"] for field in model_admin.model._meta.get_fields()}
    own = {name: ["x"] for each in model_admin.list_filter for name in each.parameter_names()}
    assert set(own) >= {"from", "to"}
    assert shown.get_filters_params({**fields, "id__in": ["x"], **own}) == own


def test_conversations_can_be_exported_in_every_format():
    conversations: Any = admin.site.get_model_admin(ConversationRow)
    actions = map(conversations.get_action, conversations.actions)
    exports = {f"export_{kind}": f"Export: {each.title}" for kind, each in FORMATS.items()}
    assert {name: title for _, name, title in actions} == {**exports, "delete": "Delete ..."}


@pytest.mark.parametrize("model", [AuditEntry, ListedConversation], ids=str)
def test_the_audit_log_can_store_the_longest_memory_id(model):
    length = ConversationRow._meta.get_field("memory_id").max_length
    assert model._meta.get_field("memory_id").max_length == length


def test_the_audit_log_can_store_every_action():
    length = AuditEntry._meta.get_field("action").max_length
    assert length
    assert max(map(len, Action)) <= length
