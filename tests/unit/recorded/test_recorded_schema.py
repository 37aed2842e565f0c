"""The tables as SQL Server and Oracle would be told to make them: compiled, not run."""

from __future__ import annotations

import re
from collections import Counter
from itertools import repeat

import pytest
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from tests.unit.recorded.recording import NO_ROWS, SNAPSHOTS, Tape, agrees, broken

# How long a name may be; Django keeps to what the oldest Oracle takes.
LONGEST_NAME = {"mssql": 128, "oracle": 30}


@pytest.fixture
def schema(tape: Tape) -> str:
    """The DDL of every app's migrations, then that of ours backwards."""
    tape.script = repeat(NO_ROWS)  # whatever it looks up in the catalogue is not there
    loader = MigrationLoader(None)
    plan: dict[tuple[str, str], None] = {}
    for leaf in sorted(loader.graph.leaf_nodes()):
        plan.update(dict.fromkeys(loader.graph.forwards_plan(leaf)))
    ours = [node for node in plan if node[0] == "convstore"]
    forwards = [ddl(tape, loader, node) for node in plan]
    backwards = [ddl(tape, loader, node, backwards=True) for node in reversed(ours)]
    return "\n".join([*forwards, *backwards])


def ddl(
    tape: Tape, loader: MigrationLoader, node: tuple[str, str], *, backwards: bool = False
) -> str:
    """The statements of one migration, as the schema editor of the backend makes them."""
    migration = loader.graph.nodes[node]
    before = loader.project_state(node, at_end=False)
    apply = migration.unapply if backwards else migration.apply
    with connections[tape.alias].schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
        apply(before, editor, collect_sql=True)
        at_once = list(editor.collected_sql)
    # SQL Server's backend keeps what comes last, indexes and foreign keys, in no order.
    last = sorted(editor.collected_sql[len(at_once) :])
    title = f"-- {node[0]} {node[1]}" + (", backwards" if backwards else "")
    statements = [statement for statement in (*at_once, *last) if statement.strip("- \n")]
    return "\n".join([title, *map(broken, statements), ""])


def test_the_tables_are_made_as_they_were_kept(tape, schema):
    agrees(SNAPSHOTS / tape.kind / "schema.sql", schema)


def test_bodies_have_any_length_and_keys_have_one(tape, schema):
    types = {
        "mssql": {"body": "nvarchar(max)", "memory_id": "nvarchar(510)", "request_key": "char(32)"},
        "oracle": {"body": "NCLOB", "memory_id": "NVARCHAR2(510)", "request_key": "VARCHAR2(32)"},
    }
    for column, kind in types[tape.kind].items():
        name = f'"{column.upper()}"' if tape.kind == "oracle" else f"[{column}]"
        assert re.search(rf"^ *{re.escape(f'{name} {kind}')} ", schema, re.MULTILINE)


def test_a_position_and_a_request_key_are_taken_once_in_a_conversation(schema):
    plain = re.sub(r'["\[\]]', "", schema).lower()
    assert "primary key (conversation_id, position)" in re.sub(r"\s+", " ", plain)
    assert "constraint message_request_once unique (conversation_id, request_key)" in re.sub(
        r"\s+", " ", plain
    )
    assert "constraint message_position_from_1 check (position >= 1)" in plain


def test_every_name_fits_and_no_two_constraints_have_the_same(tape, schema):
    names = set(re.findall(r'["\[](\w+)["\]]', schema))
    assert max(map(len, names)) <= LONGEST_NAME[tape.kind]
    forwards = schema.split(", backwards")[0]
    made = re.findall(r'(?:CONSTRAINT|INDEX) ["\[](\w+)["\]]', forwards)
    assert [name for name, count in Counter(made).items() if count > 1] == []
    assert {"message_request_once", "conversation_created"} <= {name.lower() for name in made}


def test_what_is_made_is_dropped_backwards(tape, schema):
    backwards = schema.split(", backwards", 1)[1].upper()
    for table in ("CONVSTORE_MESSAGE", "CONVSTORE_CONVERSATION"):
        assert re.search(rf'DROP TABLE ["\[]{table}["\]]', backwards)
