"""Vendor: every question that convstore asks about one kind of database.

Each vendor's folder answers all of them, in files of the same names:

- `url.py`: from a database URL to an entry of Django's DATABASES, and back to words
- `faults.py`: what its error codes mean
- `server.py`: what is asked of the running server: checks, the migration lock, estimates
- `base.py`: its Django backend, where Django's own lacks something

No field has a default, so that no vendor can leave a question unanswered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from django.core.checks import CheckMessage
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.database.fault import Fault
from convstore.database.options import Options
from convstore.database.parsed_url import ParsedUrl

# An entry of Django's DATABASES.
Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WordIndex:
    """How a database finds messages by terms; see `terms_of` and `query_terms` in words.py."""

    condition: str
    """A condition that uses the index; its parameter `%s` is what `query` returns."""

    filter: str
    """The same condition, for rows that were found without the index."""

    query: Callable[[Iterable[str], Iterable[str]], str]
    """A query for rows with all these terms; the second ones are beginnings of terms."""

    sample: str
    """A query for the first {0} messages in the order in which the index finds them, about 10,000
    at the most."""

    are_frequent: Callable[
        [BaseDatabaseWrapper, Sequence[tuple[Mapping[str, str], int, int]]], list[bool]
    ]
    """For each group of words with their queries, a number of messages and the size of a sample:
    whether more than that number in the sample have all the words. An empty list if the index
    cannot be used."""

    state: Callable[[BaseDatabaseWrapper], str]
    """What there is of the index, for people."""

    make: Callable[[BaseDatabaseWrapper], None]
    """Make the index, and anew if an earlier try was interrupted; writers go on meanwhile."""

    drop: Callable[[BaseDatabaseWrapper], None]
    """Drop the index, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteOrder:
    """How ids are ordered and compared byte by byte, as the index of ids has them."""

    ascending: str
    """The order, as a template of Django's OrderBy."""

    operators: Mapping[str, str]
    """The operators, by the names that Django has for these comparisons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions:
    """How a database keeps the table of messages in partitions, by a hash of the conversation."""

    count: Callable[[BaseDatabaseWrapper], int | None]
    """How many partitions the table has; 0 if it is not divided, None if there is no table."""

    divide: Callable[[BaseDatabaseWrapper, int], None]
    """Divide the table, which has no rows, into so many; in the transaction that made it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """What convstore knows about one kind of database."""

    name: str
    """What people call it, for example "SQL Server"."""

    django_name: str
    """`vendor` of Django's connections, for example "microsoft"."""

    url_names: tuple[str, ...]
    """The dialects that a database URL may begin with, for example "postgres"."""

    database_settings: Callable[[ParsedUrl, Options, int], dict[str, Any]]
    """The entry of DATABASES for a URL, engine options and a time limit in seconds.

    Takes out the options that it honours. Opens nothing. Raises DatabaseUrlError.
    """

    prepare: Callable[[Entry], None]
    """Make what must exist before a connection can be opened. Never fails."""

    location: Callable[[Entry], str]
    """Where the database is, for people: no user and no password."""

    non_identifying_options: frozenset[str]
    """The names in OPTIONS that say how to connect, but not to which database."""

    without_time_limits: Callable[[Entry], dict[str, Any]]
    """The same entry for work that may take long, such as migrations."""

    error_code: Callable[[Any], Any]
    """The code in an exception of the driver; None if it has none."""

    faults: Mapping[Any, Fault]
    """What an error code means, for those whose meaning is known."""

    is_own_mistake: Callable[[Any], bool]
    """Whether a code that is not in `faults` is a mistake of ours: wrong SQL, or a wrong value."""

    close_for_good: Callable[[BaseDatabaseWrapper], None]
    """Close a connection so that no pool hands it out again."""

    check_settings: Callable[[Entry], Iterable[CheckMessage]]
    """What is unsafe in an entry of DATABASES, found without a connection."""

    check_server: Callable[[BaseDatabaseWrapper, tuple[str, ...]], Iterable[CheckMessage]]
    """What is unsafe on the server, for a connection and the names of our tables."""

    write_nothing: str
    """A statement that changes nothing, and fails where the server takes no writes.

    `{0}` stands for the table of conversations. Empty where it would have to wait for a writer.
    """

    migration_lock: Callable[
        [BaseDatabaseWrapper, Callable[[], None]], AbstractContextManager[None]
    ]
    """Hold the lock of migrations; calls the function once if it has to wait.

    The lock ends with the process or the connection that holds it.
    """

    row_estimates: str
    """A query for (table, estimated rows); `{0}` and `{1}` stand for the tables' names."""

    size: str
    """A query for ('bytes', how many the database takes), which is added to `row_estimates`."""

    like_ignores_case: bool
    """Whether LIKE takes a for A, and so cannot use an index for a prefix search."""

    byte_order: ByteOrder | None
    """How to use the index of ids; None if its order is that of the column."""

    text_length: str
    """The function for a text's length: in bytes, if the server need not read the text for it."""

    utf8_length: str
    """The bytes of a text in UTF-8, or more; `%(expressions)s` stands for the text."""

    is_for_one_host: bool
    """Whether a database is a file, which a second host must not open."""

    of_tenant: str | None
    """A condition that finds a tenant's conversations by the indexes of migration 0012.

    Its parameter `%s` is the tenant's name with the slash behind it. None where it has none.
    """

    word_index: WordIndex | None
    """Its index of words, if it can have one."""

    partitions: Partitions | None
    """How it divides the table of messages, if it can."""
