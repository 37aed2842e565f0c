"""How much a body may hold: values, levels, tensors, elements, gzip members."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_api import bodies, documents, v2
from memory_api.errors import BadRequest, TooLarge
from memory_api.json_text import refuse_excess
from memory_api.limits import MAX_GZIP_MEMBERS, MAX_JSON_DEPTH
from testing.bodies import binary_body, binary_tensor, document, read_request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def value_count(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(value_count, value.values()))
    return 1 + sum(map(value_count, value)) if isinstance(value, list) else 1


@given(value=JSON)
def test_values_are_counted_before_they_are_built(value):
    text = json.dumps(value)

    for each in (text, text.encode(), json.dumps(value, ensure_ascii=False)):
        assert refuse_excess(each, "the body", 1_000_000) >= value_count(value)


@given(value=st.recursive(st.text(), lambda inner: st.lists(inner, min_size=1), max_leaves=12))
def test_characters_in_strings_do_not_count_where_it_matters(value):
    text, count = json.dumps([value]), value_count([value])

    assert refuse_excess(text, "the body", count) >= count
    with pytest.raises(TooLarge, match=f"the body is over the limit of {count - 1} JSON values"):
        refuse_excess(text, "the body", count - 1)


@pytest.mark.parametrize("text", ['["a', '"\\', "[1,]", "]]]", '{"a" "b"}', "\N{GRINNING FACE}"])
def test_what_is_not_json_is_counted_all_the_same(text):
    assert refuse_excess(text, "the body", 10) >= 1


def test_what_was_counted_before_counts():
    assert refuse_excess("[1]", "the body", 5, 3) == 5
    with pytest.raises(TooLarge):
        refuse_excess("[1]", "the body", 4, 3)


@pytest.mark.parametrize(("begin", "end"), ["[]", ('{"a":', "}")])
def test_json_that_is_nested_too_deeply_is_refused_before_it_is_read(begin, end):
    def nested(levels: int) -> bytes:
        return f"{begin * levels}1{end * levels}".encode()

    assert documents.read(nested(MAX_JSON_DEPTH))
    with pytest.raises(BadRequest, match=f"body is nested more than {MAX_JSON_DEPTH} levels deep"):
        documents.read(nested(MAX_JSON_DEPTH + 1))


@pytest.mark.parametrize("value", ["{}", "[]", "1", '"ab"', '{"a":1}'])
def test_a_body_of_many_values_is_refused_before_it_takes_their_memory(value):
    body = f'{{"x": [{",".join([value] * 1_000_000)}]}}'.encode()
    tracemalloc.start()

    with pytest.raises(TooLarge):
        documents.read(body, max_values=100_000)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_elements_of_binary_tensors_count_together():
    sent = document(*(binary_tensor(name, 40) for name in "ab"))
    body, headers = binary_body(sent, b"\0" * 40, b"\0" * 40)
    (length,) = headers.values()

    assert documents.read(body, length, max_values=20)
    with pytest.raises(TooLarge, match="elements together"):
        documents.read(body, length, max_values=19)


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_a_request_has_so_many_tensors(field):
    sent = {"inputs": [], field: read_request("a")["inputs"] * 3}

    v2.parse(sent, 3)
    with pytest.raises(TooLarge, match=f"'{field}' has 3 tensors; the limit is 2"):
        v2.parse(sent, 2)


def test_a_gzip_body_has_so_many_members():
    empty, last = gzip.compress(b""), gzip.compress(b"end")
    body = empty * (MAX_GZIP_MEMBERS - 1) + last

    assert bodies.decompress(body, "gzip", 3) == b"end"
    assert bodies.decompress(body + b"\0" * 100_000, "gzip", 3) == b"end"
    with pytest.raises(TooLarge, match=f"more than {MAX_GZIP_MEMBERS} gzip members"):
        bodies.decompress(empty + body, "gzip", 3)
