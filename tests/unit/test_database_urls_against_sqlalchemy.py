"""URLs beside SQLAlchemy's own reading of them: what it would give a driver, ours gets.

SQLAlchemy's dialect turns a URL into what it hands to its driver; `convstore` and Django turn
the same URL into what ours gets. Both are brought into one form, `Target`, and compared.
"""

from __future__ import annotations

import re
import ssl
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import oracledb
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.db.utils import ConnectionHandler
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from mssql_python.connection_string_parser import _ConnectionStringParser
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo
from sqlalchemy.engine import make_url

from convstore.database import parsed_url
from convstore.database.parsed_url import ParsedUrl, parse_url
from convstore.database.url import database_settings
from convstore.errors import DatabaseUrlError
from tests.unit.sqlalchemy_urls import (
    AGREED,
    ARGUMENTS,
    OTHERS,
    PECULIAR,
    PLAIN,
    REFUSED,
    UNDERSTOOD,
    WITH_CONNECT_ARGS,
    odbc,
)

VENDORS = ("postgresql", "mysql", "mssql", "oracle", "sqlite")
SERVERS = VENDORS[:-1]
modest = hypothesis_settings(max_examples=100, deadline=None)
few = hypothesis_settings(max_examples=20, deadline=None)  # for what has many parameters
anything = st.characters(codec="utf-8", exclude_characters="\0")

# One word for what drivers have several for.
NAMES = {"dbname": "database", "db": "database", "passwd": "password", "username": "user"}
# What SQLAlchemy tells drivers and ours need not hear: it is so anyway.
SO_ANYWAY = {
    *("charset", "use_unicode", "client_flag", "buffered"),
    *("driver", "mars_connection"),
    *("encoding", "nencoding", "threaded"),
    "check_same_thread",
}
ODBC_DRIVERS = ("pyodbc", "aioodbc", "mssqlpython")


@dataclass(frozen=True)
class Target:
    """What a driver gets: where to, as whom, and the arguments beside."""

    host: str = ""
    port: str = ""
    user: str = ""
    password: str = ""
    database: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


def target_of(parameters: Mapping[str, Any]) -> Target:
    """Out of a driver's keyword arguments."""
    named = {NAMES.get(name, name): text(value) for name, value in parameters.items()}
    if "unix_socket" in named:  # then no driver looks at the host
        named |= {"host": "", "port": ""}
    if set(named.get("port", "")) == {","}:  # the default one, of each of several hosts
        del named["port"]
    places = ("host", "port", "user", "password", "database")
    return Target(**{place: named.pop(place, "") for place in places}, arguments=named)


def text(value: object) -> Any:
    """As a URL has it: some drivers are given texts where others are given numbers."""
    if isinstance(value, Mapping):
        return {name: text(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return ",".join(map(text, value))
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def out_of_odbc(connection_string: str, *, ours: bool) -> dict[str, str]:
    """An ODBC connection string as our driver itself reads it.

    `ours` has it refuse the keywords that it does not know, as it does when it connects.
    """
    pairs = _ConnectionStringParser(validate_keywords=ours)._parse(connection_string)
    server = pairs.pop("server", "") or pairs.pop("address", "")
    if "trusted_connection" in pairs:
        pairs["trusted_connection"] = pairs["trusted_connection"].lower()
    host, _, port = server.partition(",")
    return {
        "host": host or "localhost",
        "port": port,
        "user": pairs.pop("uid", ""),
        "password": pairs.pop("pwd", ""),
        **pairs,
    }


def out_of_dsn(text: str) -> dict[str, Any]:
    """An Oracle connect string as our driver itself reads it, or an alias as it is."""
    if re.fullmatch(r"[\w.]+", text):
        return {"host": text}
    where = oracledb.ConnectParams()
    where.parse_connect_string(text)
    name = f"SID {where.sid}" if where.sid else f"service {where.service_name}"
    secure = {"protocol": where.protocol} if where.protocol != "tcp" else {}
    return {"host": where.host, "port": where.port, "database": name, **secure}


def sqlalchemys(url: str, connect_args: Mapping[str, Any] | None = None) -> Target:
    """What SQLAlchemy would tell the driver that the URL names."""
    parsed = make_url(url)
    if parsed.drivername.endswith("+asyncmy"):  # its dialect cannot be asked without it
        parsed = parsed.set(drivername=parsed.drivername.replace("asyncmy", "aiomysql"))
    dialect: Any = parsed.get_dialect()()
    dialect.dbapi = oracledb if dialect.name == "oracle" else dialect.dbapi
    dialect.pyodbc_driver_name = "any"  # or a URL without one is warned of
    arguments, parameters = dialect.create_connect_args(parsed)
    parameters = {**parameters, **(connect_args or {})}
    match dialect.name:
        case "sqlite":
            parameters["database"] = arguments[0]
        case "oracle":
            parameters |= out_of_dsn(parameters.pop("dsn"))
        case "postgresql" if "service" not in parameters and "dbname" not in parameters:
            parameters.setdefault("database", parameters.get("user", ""))  # as libpq does
        case "mssql" if dialect.driver == "pymssql":
            host, _, port = parameters.get("host", "localhost").partition(":")
            parameters |= {"host": host, "port": port}
    if dialect.driver in ODBC_DRIVERS:
        parameters |= out_of_odbc(parameters.pop("dsn", None) or arguments[0], ours=False)
        if "timeout" in parameters:  # what pyodbc and Microsoft's driver call that to sign in
            parameters["login_timeout"] = parameters.pop("timeout")
    result = target_of(parameters)
    kept = {n: value for n, value in result.arguments.items() if n not in SO_ANYWAY}
    return replace(result, arguments=kept)


def ours(url: str, connect_args: Mapping[str, Any] | None = None) -> Target:
    """What our driver gets through Django, without what it gets with any URL."""
    reached = reaches(url, {"connect_args": connect_args} if connect_args else {})
    always = reaches(PLAIN[make_url(url).get_backend_name()]).arguments
    arguments = {n: v for n, v in reached.arguments.items() if always.get(n) != v}
    return replace(reached, arguments=arguments)


def reaches(url: str, options: Mapping[str, Any] | None = None) -> Target:
    connection = wrapper(url, options)
    parameters: dict[str, Any] = dict(connection.get_connection_params())
    match connection.vendor:
        case "postgresql":
            # What psycopg does not keep for itself goes to libpq, through its own grammar.
            kept = ("context", "cursor_factory", "prepare_threshold")
            given = {name: parameters[name] for name in parameters if name not in kept}
            parameters = dict(conninfo_to_dict(make_conninfo(**given)))
        case "microsoft":
            parameters = out_of_odbc(
                connection._build_connection_string(parameters, "unused"), ours=True
            )
            options = connection.settings_dict["OPTIONS"]
            parameters["login_timeout"] = options["connection_timeout"]
            parameters["timeout"] = options["query_timeout"]
        case "oracle":
            # Not before the backend, which it needs, and which needs it.
            from django.db.backends.oracle.utils import dsn

            parameters |= out_of_dsn(dsn(connection.settings_dict))
            parameters["user"] = connection.settings_dict["USER"]
            parameters["password"] = connection.settings_dict["PASSWORD"]
    return target_of(parameters)


def wrapper(url: str, options: Mapping[str, Any] | None = None) -> Any:
    """Django's connection to `url`, unconnected and known to nobody else."""
    entry = database_settings(url, options)
    return ConnectionHandler({"default": {}, "chat": entry}).create_connection("chat")


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# --- What is agreed ----------------------------------------------------------------------


@modest
@given(st.from_regex(parsed_url.PLAIN, fullmatch=True))
@example("sqlite:////folder/a.db")
@example("postgresql://u:p@h:05432/d")
@example("mysql://:1/.")
def test_a_plain_url_has_the_parts_that_sqlalchemy_finds(url):
    assert parse_url(url) == ParsedUrl(*make_url(url))


@pytest.mark.parametrize("url", [url for vendor in AGREED for url in AGREED[vendor]])
def test_our_driver_gets_what_sqlalchemy_would_give_the_driver_of_the_url(url):
    assert ours(url) == sqlalchemys(url)


@pytest.mark.parametrize(("url", "connect_args"), WITH_CONNECT_ARGS)
def test_connect_args_come_last_as_they_do_with_sqlalchemy(url, connect_args):
    assert ours(url, connect_args) == sqlalchemys(url, connect_args)


def drivers() -> Iterator[str]:
    """Every `vendor+driver` that SQLAlchemy has."""
    for vendor in VENDORS:
        package = import_module(f"sqlalchemy.dialects.{vendor}")
        for name, module in vars(package).items():
            if name != "base" and hasattr(module, "dialect"):
                yield f"{vendor}+{name}"
                if vendor == "mysql":
                    yield f"mariadb+{name}"


@pytest.mark.parametrize("driver", sorted(drivers()))
def test_whichever_of_sqlalchemys_drivers_a_url_names_ours_gets_the_same(driver):
    address = "/folder/a%20b.db" if driver.startswith("sqlite") else "u%40t:p%3Aw@h:1234/a%20b"
    url = f"{driver}://{'/' if driver.startswith('sqlite') else ''}{address}"
    assert ours(url) == sqlalchemys(url)


def test_sqlalchemys_drivers_are_found():
    found = set(drivers())
    assert len(found) >= 30
    assert {"postgresql+pg8000", "mariadb+mysqldb", "mssql+pymssql", "oracle+cx_oracle"} <= found


@pytest.mark.parametrize("vendor", SERVERS)
@pytest.mark.parametrize("password", [f"a{c}b{c}" for c in string.punctuation])
def test_a_password_of_any_reserved_character_reaches_the_driver(vendor, password):
    url = f"{vendor}://u:{quote(password, safe='')}@h/d"
    assert ours(url).password == password
    assert ours(url) == sqlalchemys(url)


@pytest.mark.parametrize("vendor", SERVERS)
@pytest.mark.parametrize("character", string.punctuation)
def test_a_password_of_one_reserved_character_reaches_the_driver(vendor, character):
    assert ours(f"{vendor}://u:{quote(character, safe='')}@h/d").password == character


@pytest.mark.parametrize("vendor", SERVERS)
@pytest.mark.parametrize("name", PECULIAR)
def test_peculiar_users_passwords_and_databases_reach_the_driver(vendor, name):
    quoted = quote(name, safe="")
    result = ours(f"{vendor}://{quoted}:{quoted}@h/d")
    assert (result.user, result.password) == (name, name)


@pytest.mark.parametrize("vendor", ["postgresql", "mysql", "mssql"])
@pytest.mark.parametrize("name", PECULIAR)
def test_peculiar_databases_reach_the_driver(vendor, name):
    assert ours(f"{vendor}://u:p@h/{quote(name, safe='')}").database == name


@pytest.mark.parametrize("vendor", SERVERS)
@modest
@given(password=st.text(anything, min_size=1))
@example(" ")
@example("{a;b}")
def test_any_password_reaches_the_driver(vendor, password):
    assert ours(f"{vendor}://u:{quote(password, safe='')}@h/d").password == password


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///a%00b.db",
        "postgresql://u:p@h/d?application_name=a%00b",
        *(
            f"{v}://{rest}"
            for v in SERVERS
            for rest in ("a%00b:p@h/d", "u:a%00b@h/d", "u:p@h/a%00b")
        ),
    ],
)
def test_a_nul_at_which_drivers_stop_reading_is_refused(url):
    with pytest.raises(DatabaseUrlError):
        database_settings(url)


# --- Arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "name"), [(vendor, name) for vendor in ARGUMENTS for name in ARGUMENTS[vendor]]
)
def test_an_argument_that_is_taken_reaches_the_driver(vendor, name):
    value = ARGUMENTS[vendor][name]
    arguments = ours(f"{PLAIN[vendor]}?{urlencode({name: value})}").arguments
    assert arguments == {name: value}
    assert ours(PLAIN[vendor], {name: value}).arguments == {name: value}


@pytest.mark.parametrize(
    "name",
    sorted(
        {option.keyword.decode() for option in Conninfo.get_defaults()}
        - {"host", "port", "user", "password", "dbname", "client_encoding"}
    ),
)
def test_each_argument_of_libpq_reaches_it(name):
    assert ours(f"{PLAIN['postgresql']}?{name}=7").arguments == {name: "7"}


@pytest.mark.parametrize(
    ("vendor", "name"),
    [
        (vendor, name)
        for vendor, names in OTHERS.items()
        for name in sorted({name for words in names.values() for name in words.split()})
    ],
)
def test_an_argument_that_only_another_driver_knows_is_refused_by_name(vendor, name):
    with pytest.raises(DatabaseUrlError, match=rf"\b{name}\b"):
        database_settings(f"{PLAIN[vendor]}?{name}=1")
    with pytest.raises(DatabaseUrlError, match=rf"\b{name}\b"):
        database_settings(PLAIN[vendor], {"connect_args": {name: 1}})


def known_arguments(vendor: str) -> set[str]:
    if vendor == "postgresql":
        return {option.keyword.decode() for option in Conninfo.get_defaults()}
    return {*ARGUMENTS[vendor], *UNDERSTOOD[vendor]}


names = st.text(anything, min_size=1, max_size=20)


@pytest.mark.parametrize("vendor", VENDORS)
@modest
@given(name=names)
@example("conninfo")
@example("two words")
@example("sslmode=require application_name")
@example(" sslmode")
@example("SSLMODE")
@example("")
def test_any_unknown_argument_is_refused_by_name(vendor, name):
    known = name.lower() if vendor == "mssql" else name  # ODBC's keywords know no case
    if known in known_arguments(vendor):
        return
    for url, options in (
        (f"{PLAIN[vendor]}?{urlencode({name: 'x'})}", {}),
        (PLAIN[vendor], {"connect_args": {name: "x"}}),
    ):
        with pytest.raises(DatabaseUrlError) as raised:
            database_settings(url, options)
        assert name.lower() in str(raised.value).lower()


@pytest.mark.parametrize(("url", "named"), REFUSED)
def test_what_nobody_could_serve_is_refused_by_name(url, named):
    with pytest.raises(DatabaseUrlError, match=f"(?i){re.escape(named)}"):
        database_settings(url)


# --- TLS to MySQL, as far as a connection goes without a server --------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A certificate of our own that no system knows; its file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "convstore's tests")])
    now = datetime.now()
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return str(path)


def mysql_connection(url: str) -> Any:
    """PyMySQL's connection as the backend makes it, but for the connecting."""
    from convstore.database.mysql.base import Connection

    parameters = wrapper(url).get_connection_params()
    del parameters["lock_wait_timeout"]
    return Connection(**parameters, defer_connect=True)


@pytest.mark.parametrize(
    ("arguments", "verified", "named"),
    [
        ("", True, True),
        ("&ssl_check_hostname=false", True, False),
        ("&ssl_verify_cert=true", True, True),
        ("&ssl_verify_identity=true", True, True),
        ("&ssl_verify_cert=true&ssl_verify_identity=true", True, True),
        ("&ssl_verify_identity=false", True, False),
        ("&ssl_verify_cert=false", False, False),
        ("&ssl_verify_cert=false&ssl_verify_identity=false", False, False),
    ],
)
def test_mysql_is_verified_as_the_url_says_with_the_authority_that_it_names(
    certificate, arguments, verified, named
):
    context = mysql_connection(f"mysql://u:p@h/d?ssl_ca={certificate}{arguments}").ctx
    assert [authority["issuer"] for authority in context.get_ca_certs()] == [
        ((("commonName", "convstore's tests"),),)
    ]
    assert (context.verify_mode is ssl.CERT_REQUIRED) is verified
    assert context.check_hostname is named


def test_an_identity_that_cannot_be_verified_without_an_authority_is_not_promised():
    with pytest.raises(DatabaseUrlError, match="ssl_verify_identity"):
        database_settings("mysql://u:p@h/d?ssl_verify_identity=true")


def test_the_password_of_a_key_is_kept_with_the_key():
    url = "mysql://u:p@h/d?ssl_cert=/c.pem&ssl_key=/k.pem&ssl_key_password=s"
    parameters = wrapper(url).get_connection_params()
    assert parameters["ssl"] == {"cert": "/c.pem", "key": "/k.pem", "password": "s"}


@pytest.mark.parametrize("password", ["pässwörd", "пароль"])
def test_a_password_goes_to_mysql_in_utf_8(password):
    # As the server has it, which got it in UTF-8; PyMySQL alone would send Latin-1.
    assert mysql_connection(f"mysql://u:{password}@h/d").password == password.encode()


@pytest.mark.parametrize("name", ["connect_timeout", "read_timeout", "write_timeout"])
@pytest.mark.parametrize("seconds", ["0", "-1", "1e9", "40000000", "1"])
def test_a_timeout_that_pymysql_would_not_take_is_refused_by_name(name, seconds):
    url = f"mysql://u:p@h/d?{name}={seconds}"
    try:
        database_settings(url)
    except DatabaseUrlError as refusal:
        assert name in str(refusal)  # noqa: PT017 - whether it is refused is what we ask
    else:
        assert mysql_connection(url)


# --- Options -----------------------------------------------------------------------------

# What each option becomes on each vendor: where in the entry it is seen, and as what.
SEEN: list[tuple[str, dict[str, Any], str, Any]] = [
    ("postgresql", {"pool_size": 3}, "OPTIONS.pool.max_size", 13),
    ("postgresql", {"max_overflow": 2}, "OPTIONS.pool.max_size", 7),
    ("postgresql", {"pool_timeout": 7}, "OPTIONS.pool.timeout", 7),
    ("postgresql", {"pool_size": 3, "pool_recycle": 60}, "OPTIONS.pool.max_lifetime", 60),
    ("postgresql", {"pool_size": 3, "pool_pre_ping": True}, "CONN_HEALTH_CHECKS", True),
    ("oracle", {"pool_size": 3}, "OPTIONS.pool.max", 13),
    ("oracle", {"max_overflow": 2}, "OPTIONS.pool.max", 7),
    ("oracle", {"pool_timeout": 7.5}, "OPTIONS.pool.wait_timeout", 7500),
    ("oracle", {"pool_size": 3, "pool_recycle": 60}, "OPTIONS.pool.max_lifetime_session", 60),
    ("oracle", {"pool_size": 3, "pool_pre_ping": True}, "OPTIONS.pool.ping_interval", 0),
    ("oracle", {"pool_size": 3, "pool_pre_ping": False}, "OPTIONS.pool.ping_interval", -1),
    ("mysql", {"isolation_level": "READ COMMITTED"}, "OPTIONS.isolation_level", "read committed"),
    ("mssql", {"isolation_level": "read_committed"}, "OPTIONS.isolation_level", "READ COMMITTED"),
    (
        "postgresql",
        {"isolation_level": "READ COMMITTED"},
        "OPTIONS.isolation_level",
        psycopg.IsolationLevel.READ_COMMITTED,
    ),
    ("sqlite", {"isolation_level": "SERIALIZABLE"}, "OPTIONS.transaction_mode", "IMMEDIATE"),
    ("postgresql", {"connect_args": {"sslmode": "require"}}, "OPTIONS.sslmode", "require"),
    ("mysql", {"connect_args": {"sql_mode": "ANSI"}}, "OPTIONS.sql_mode", "ANSI"),
    ("mssql", {"connect_args": {"login_timeout": 9}}, "OPTIONS.connection_timeout", 9),
    ("oracle", {"connect_args": {"sdu": 9000}}, "OPTIONS.sdu", 9000),
    ("sqlite", {"connect_args": {"timeout": 9}}, "OPTIONS.timeout", 9),
    *((vendor, {"pool_recycle": 60}, "CONN_MAX_AGE", 60) for vendor in VENDORS),
    *((vendor, {"pool_recycle": -1}, "CONN_MAX_AGE", None) for vendor in VENDORS),
    *((vendor, {"pool_pre_ping": True}, "CONN_HEALTH_CHECKS", True) for vendor in VENDORS),
    *((vendor, {"pool_pre_ping": False}, "CONN_HEALTH_CHECKS", False) for vendor in VENDORS),
    *((vendor, {"echo": True}, "ECHO", True) for vendor in VENDORS),
]
# What is refused everywhere: what we do not know, and what is of another type.
UNHEARD_OF = {
    "poolclass": "QueuePool",
    "pool_use_lifo": True,
    "echo_pool": True,
    "execution_options": {},
    "client_encoding": "utf8",
    "hide_parameters": True,
    "json_serializer": "x",
}
WRONG = {
    "pool_size": "3",
    "max_overflow": 1.5,
    "pool_timeout": "7",
    "pool_recycle": "60",
    "pool_pre_ping": 1,
    "connect_args": [],
    "echo": "debug",
    "isolation_level": "REPEATABLE READ",
}
OPTIONS = set(WRONG)


@pytest.mark.parametrize(("vendor", "options", "path", "expected"), SEEN)
def test_an_option_is_seen_in_the_connection(vendor, options, path, expected):
    value: Any = database_settings(PLAIN[vendor], options)
    for name in path.split("."):
        value = value[name]
    assert value == expected


def test_each_option_is_seen_or_refused_on_each_vendor():
    shown = {(vendor, name) for vendor, options, _, _ in SEEN for name in options}
    threads = {
        (vendor, name)
        for vendor in ("mysql", "mssql", "sqlite")
        for name in ("pool_size", "max_overflow", "pool_timeout")
    }
    # Oracle's level is the server's own default, which nothing sets.
    expected = {(vendor, name) for vendor in VENDORS for name in OPTIONS}
    assert shown | threads | {("oracle", "isolation_level")} == expected


@pytest.mark.parametrize("vendor", ["mysql", "mssql", "sqlite"])
def test_where_each_thread_keeps_a_connection_a_pool_is_held_by_itself_or_refused(vendor, settings):
    plain = database_settings(PLAIN[vendor])
    wide = {"pool_size": settings.THREADS, "max_overflow": 0, "pool_timeout": 7}
    assert database_settings(PLAIN[vendor], wide) == plain
    for narrow in (
        {"pool_size": settings.THREADS - 1, "max_overflow": 0},
        {"max_overflow": settings.THREADS - 6},
    ):
        with pytest.raises(DatabaseUrlError, match="pool_size and max_overflow"):
            database_settings(PLAIN[vendor], narrow)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(("name", "value"), [*UNHEARD_OF.items(), *WRONG.items()])
def test_an_option_that_cannot_be_honoured_is_refused_by_name(vendor, name, value):
    with pytest.raises(DatabaseUrlError, match=name):
        database_settings(PLAIN[vendor], {name: value})


@pytest.mark.parametrize("vendor", VENDORS)
@modest
@given(name=names.filter(lambda name: name not in OPTIONS))
@example("POOL_SIZE")
@example("")
def test_any_unknown_option_is_refused_by_name(vendor, name):
    with pytest.raises(DatabaseUrlError) as raised:
        database_settings(PLAIN[vendor], {name: 1})
    assert f"connection_options.{name} " in str(raised.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("vendor", VENDORS)
@modest
@given(options=st.dictionaries(st.sampled_from(sorted(OPTIONS)), json_values, max_size=3))
@example({"pool_timeout": float("nan")})
@example({"pool_timeout": float("inf")})
@example({"pool_timeout": -1})
@example({"connect_args": {"conninfo": "x"}})
@example({"connect_args": {"encrypt": None}})
def test_whatever_stands_in_an_option_it_is_honoured_or_refused_in_a_sentence(vendor, options):
    try:
        entry = database_settings(PLAIN[vendor], options)
    except DatabaseUrlError as refusal:
        assert str(refusal).strip()  # noqa: PT017 - whether it is refused is what we ask
    else:
        pool = entry["OPTIONS"].get("pool", {})
        assert pool.get("timeout", pool.get("wait_timeout", 0)) >= 0


# --- Errors ------------------------------------------------------------------------------

# URLs and options that are refused, each with a password in it, in the place of {} or, as an
# ODBC connection string has it, of {odbc}.
WITH_A_PASSWORD: list[tuple[str, Any]] = [
    *((f"{vendor}://u:{{}}@h:port/d", None) for vendor in VENDORS),
    *((f"{vendor}://u:{{}}@h/d?nope=1", None) for vendor in VENDORS),
    *((f"{vendor}://u:{{}}@h/d?nope={{}}", None) for vendor in VENDORS),
    *((PLAIN[vendor], {"connect_args": {"password": "{}", "nope": 1}}) for vendor in VENDORS),
    *((PLAIN[vendor], {"connect_args": {"nope": "{}"}}) for vendor in VENDORS),
    *((PLAIN[vendor], {"connect_args": "{}"}) for vendor in VENDORS),
    *((PLAIN[vendor], {name: "not {}"}) for vendor in VENDORS for name in WRONG),
    *((PLAIN[vendor], {"nope": "{}"}) for vendor in VENDORS),
    ("nothing://u:{}@h/d", None),
    ("nothing+driver://u:{}@h/d", None),
    ("postgresql://:{}@h", None),
    ("postgresql://h/?password={}", None),
    ("postgresql://h/d?password={}&nope=1", None),
    ("mysql://u:{}@h", None),
    ("mysql://u:{}@h/d?charset=x{}", None),
    ("mysql://u:{}@h/d?connect_timeout={}s", None),
    ("mysql://u:p@h/d", {"connect_args": {"ssl_key_password": ["{}"]}}),
    ("mssql://u:{}@h", None),
    ("mssql:///?odbc_connect=SERVER%3Dh;UID%3Du;PWD%3D{odbc}", None),
    ("mssql:///?odbc_connect=SERVER%3Dh,port;DATABASE%3Dd;UID%3Du;PWD%3D{odbc}", None),
    ("mssql:///?odbc_connect=SERVER%3Dh;DATABASE%3Dd;UID%3Du;NOPE%3D1;PWD%3D{odbc}", None),
    ("mssql:///?odbc_connect=SERVER%3D{odbc},1;SERVER%3D{odbc};DATABASE%3Dd", None),
    ("mssql:///?odbc_connect=DATABASE%3Dd;PWD%3D{odbc}{odbc}", None),
    ("mssql://u:p@h/d", {"connect_args": {"odbc_connect": "PWD={odbc}"}}),
    ("oracle://u:{}@h:1521", None),
    ("oracle://u:{}@h/XE?service_name={}", None),
    ("oracle://u:p@h/XE?wallet_password={}&nope=1", None),
    ("oracle://u:p@h/XE?expire_time={}s", None),
    ("sqlite://u:{}@/d?x={}", None),
    ("sqlite+pysqlcipher://:{}@/a.db", None),
]
passwords = st.text(anything, min_size=4, max_size=20)


def refusal(url: str, options: Any, password: str) -> str:
    """The error about `url` and `options`, with a password in them."""

    def filled(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: filled(entry) for name, entry in value.items()}
        if isinstance(value, list):
            return [filled(entry) for entry in value]
        return placed(value, plain, braced) if isinstance(value, str) else value

    plain, braced = password, "{" + password.replace("}", "}}") + "}"
    address = placed(url, quote(plain, safe=""), quote(braced, safe=""))
    with pytest.raises(DatabaseUrlError) as raised:
        database_settings(address, filled(options))
    return str(raised.value)


def placed(text: str, plain: str, braced: str) -> str:
    return re.sub(r"\{(odbc)?\}", lambda place: braced if place[1] else plain, text)


@pytest.mark.parametrize(("url", "options"), WITH_A_PASSWORD)
@few
@given(password=passwords)
@example("p@:/#?%s")
@example("{a;NOPE=b")
@example("a=b c='d'\\")
def test_an_error_says_the_same_whatever_the_password_is(url, options, password):
    assert refusal(url, options, password) == refusal(url, options, "hunter2hunter2")


@pytest.mark.parametrize("vendor", VENDORS)
@modest
@given(password=passwords.map(lambda password: f"S3cret{password}"))
@example("S3cret@h/d")
@example("S3cret?a=b")
@example("S3cret:5432/d?")
def test_a_password_that_nobody_encoded_is_not_shown(vendor, password):
    for url in (
        f"nothing://u:{password}@h/d",
        f"{vendor}://u:{password}@h:port/d?nope=1",
        odbc(f"SERVER=h;DATABASE=d;NOPE=1;UID=u;PWD={password}"),
        odbc(f"SERVER=h,port;DATABASE=d;UID=u;PWD={password}"),
    ):
        try:
            database_settings(url)
        except DatabaseUrlError as refused:
            assert password not in str(refused)  # noqa: PT017 - some make another valid URL


@modest
@given(url=st.text() | st.tuples(st.sampled_from(VENDORS), st.text()).map("://".join))
@example("postgresql://u:p@[::1/d")
@example("mssql:///?odbc_connect=SERVER=h,²;DATABASE=d")
@example("mysql://u:p@h/d?read_timeout=²")
def test_any_text_is_a_database_or_is_refused_in_a_sentence(url):
    try:
        entry = database_settings(url)
    except DatabaseUrlError as refused:
        assert str(refused).strip()  # noqa: PT017 - whether it is refused is what we ask
    else:
        assert entry["ENGINE"]


def test_the_table_has_urls_of_every_vendor():
    assert set(AGREED) == set(VENDORS)
    assert all(len(set(AGREED[vendor])) >= 15 for vendor in VENDORS)
    assert odbc("A={b}").endswith("=A%3D%7Bb%7D")
