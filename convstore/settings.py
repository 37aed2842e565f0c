"""Django's settings for the service, read from environment variables.

Every variable is in the table of docs/reference/settings.md.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from wsgiref.headers import Headers

from django.core.exceptions import ImproperlyConfigured

from convstore import conf
from convstore.client_address import Network
from convstore.database.parsed_url import ParsedUrl
from convstore.database.url import prepared_database_settings
from convstore.errors import DatabaseUrlError


def positive_integer(name: str, default: int, largest: int | None = None) -> int:
    """The variable `name` as an integer of at least 1 and, if given, at most `largest`."""
    text = os.environ.get(name, str(default))
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1 or (largest is not None and number > largest):
        wanted = "of at least 1" if largest is None else f"from 1 to {largest}"
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be an integer {wanted}.")
    return number


def one_of(name: str, allowed: Sequence[str]) -> str:
    """The variable `name`, which is one of the words; the first is the default."""
    word = os.environ.get(name, allowed[0])
    if word not in allowed:
        raise ImproperlyConfigured(f"{name} is {word!r}; it must be {' or '.join(allowed)}.")
    return word


def comma_separated(name: str, default: str) -> list[str]:
    """The items of the comma-separated variable `name`."""
    return [item.strip() for item in os.environ.get(name, default).split(",") if item.strip()]


def some_of(name: str, allowed: Sequence[str]) -> frozenset[str]:
    """The variable `name`: some of these words, comma-separated. By default none."""
    words = frozenset(comma_separated(name, ""))
    if unknown := sorted(words.difference(allowed)):
        raise ImproperlyConfigured(
            f"{name} has {unknown[0]!r}; it may have {', '.join(allowed)}, comma-separated."
        )
    return words


def networks(name: str) -> list[Network]:
    """The addresses and networks of the comma-separated variable `name`."""
    try:
        return [ip_network(item) for item in comma_separated(name, "")]
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{name}: {error}. It must hold addresses or networks, as in 10.0.0.7,10.1.0.0/16."
        ) from None


def stored_secret_key(path: Path) -> str:
    """The secret key in the file `path`, which is made first if it does not exist.

    If nothing can be written there, the key is a new one for this process and its children.
    It then has the prefix by which Django warns of insecure keys.
    """
    key = secrets.token_urlsafe(50)
    draft = path.with_name(f"secret_key.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            draft.touch(mode=0o600)
            draft.write_text(key)
            # A hard link is atomic and never replaces the key of another process.
            with suppress(FileExistsError):
                path.hardlink_to(draft)
            draft.unlink()
        return path.read_text()
    except OSError:
        os.environ["SECRET_KEY"] = f"django-insecure-{key}"
        return os.environ["SECRET_KEY"]


def path_prefix(name: str) -> str:
    """The variable `name` as the beginning of paths: "" or one such as `/convstore`."""
    prefix = os.environ.get(name, "").rstrip("/")
    if prefix and not re.fullmatch(r"(/[\w.~-]+)+", prefix, re.ASCII):
        raise ImproperlyConfigured(
            f"{name} is {prefix!r}; it must be a path such as /convstore, of letters, digits, '.',"
            " '_', '~' and '-'."
        )
    return prefix


def models_folder() -> Path:
    """MODELS_DIR; by default `models` if it exists, else the folder that this package brings."""
    folder = Path(os.environ.get("MODELS_DIR", "models"))
    if "MODELS_DIR" in os.environ or folder.is_dir():
        return folder.absolute()
    return Path(__file__).resolve().parent.parent / "memory_api" / "default_models"


def add_etag(headers: Headers, path: str, url: str) -> None:
    """Give a static file an ETag made of its content, the same on every replica.

    It is a weak one, because the file is sent both compressed and uncompressed.
    """
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    headers["ETag"] = f'W/"{digest[:32]}"'


# --- The service -------------------------------------------------------------------------

# The folder of the secret key, of the default SQLite file, and of relative paths of memories.
DATA_DIR = Path(os.environ.get("DATA_DIR") or "data").absolute()
HOST = os.environ.get("HOST", "127.0.0.1")
PORT = positive_integer("PORT", 8080, largest=65535)
WORKERS = positive_integer("WORKERS", 1)
THREADS = positive_integer("THREADS", conf.DEFAULT_THREADS)
MODELS_DIR = models_folder()
# How many seconds a request may wait for its database; after that the reply is 503.
DATABASE_TIMEOUT = positive_integer("DATABASE_TIMEOUT", conf.DEFAULT_DATABASE_TIMEOUT)
# A connection leads to the same server for as long as it lives, wherever the name leads by then.
DATABASE_CONNECTION_MAX_AGE = positive_integer(
    "DATABASE_CONNECTION_MAX_AGE", conf.DEFAULT_CONNECTION_MAX_AGE
)
MAX_BODY_BYTES = positive_integer("MAX_BODY_BYTES", conf.DEFAULT_MAX_BODY_BYTES)
# What a request may hold, far above what real ones do: each value, tensor and message costs memory
# and time of its own, also where it is only a few bytes.
MAX_VALUES = positive_integer("MAX_VALUES", 200_000)
MAX_TENSORS = positive_integer("MAX_TENSORS", 1_000)
# Other writers wait while the messages of a request are added; on SQLite, to any conversation.
MAX_MESSAGES = positive_integer("MAX_MESSAGES", 1_000)
MAX_PARTS = positive_integer("MAX_PARTS", 10_000)
# Bodies of all requests that a process works on at once: the memory that it needs follows from it.
MAX_BYTES_IN_WORK = positive_integer("MAX_BYTES_IN_WORK", MAX_BODY_BYTES)
MAX_REPLY_BYTES = positive_integer("MAX_REPLY_BYTES", conf.DEFAULT_MAX_REPLY_BYTES)
MAX_WINDOW = positive_integer("MAX_WINDOW", conf.DEFAULT_MAX_WINDOW)
MAX_REPLY_OVERFLOW = one_of("MAX_REPLY_OVERFLOW", (conf.REFUSE, conf.TRUNCATE))
# The doors that serve only those who send an API key.
REQUIRE_API_KEYS = some_of("REQUIRE_API_KEYS", ("http", "mlserver", "conversations"))
# The memory under /v1, and to whom the Conversations API is open.
CONVERSATIONS_MEMORY = os.environ.get("CONVERSATIONS_MEMORY", "")
CONVERSATIONS_API = one_of("CONVERSATIONS_API", ("local", "open"))
# What clients may take of each process.
MAX_CONNECTIONS = positive_integer("MAX_CONNECTIONS", 10_000)
if MAX_CONNECTIONS <= THREADS:
    raise ImproperlyConfigured(
        f"MAX_CONNECTIONS is {MAX_CONNECTIONS} and THREADS is {THREADS}; MAX_CONNECTIONS must be"
        " the larger one, or some threads would never have a request."
    )
MAX_BUFFERED_BYTES = positive_integer("MAX_BUFFERED_BYTES", 4 * MAX_BODY_BYTES)
CLIENT_TIMEOUT = positive_integer("CLIENT_TIMEOUT", 10)
BODY_TIMEOUT = positive_integer("BODY_TIMEOUT", 300)
REPLY_TIMEOUT = positive_integer("REPLY_TIMEOUT", 300)
MIN_BYTES_PER_SECOND = positive_integer("MIN_BYTES_PER_SECOND", 1000)
KEEPALIVE_TIMEOUT = positive_integer("KEEPALIVE_TIMEOUT", 75)
QUEUE_TIMEOUT = positive_integer("QUEUE_TIMEOUT", 5)

# The default is also the file of a `filesys` memory without a path, so the admin shows it.
DATABASE_URL = os.environ.get(
    "DATABASE_URL", ParsedUrl("sqlite", database=str(DATA_DIR / "conversations.sqlite3"))
)
IS_DATABASE_NAMED = "DATABASE_URL" in os.environ
try:
    DATABASES = {
        "default": prepared_database_settings(
            DATABASE_URL, timeout=DATABASE_TIMEOUT, max_age=DATABASE_CONNECTION_MAX_AGE
        )
    }
except DatabaseUrlError as error:
    raise ImproperlyConfigured(f"DATABASE_URL: {error}") from None
# SQL Server's driver has a pool of its own that hands out dead connections.
DATABASE_CONNECTION_POOLING = False

# --- Django ------------------------------------------------------------------------------

SECRET_KEY = os.environ.get("SECRET_KEY") or stored_secret_key(DATA_DIR / "secret_key")
DEBUG = False
# Clients of the API use addresses as well as service names. Set it if browsers from outside
# can reach the admin.
ALLOWED_HOSTS = comma_separated("ALLOWED_HOSTS", "*")
CSRF_TRUSTED_ORIGINS = comma_separated("CSRF_TRUSTED_ORIGINS", "")
# All links and cookies are below this path; a proxy may or may not remove it from requests.
FORCE_SCRIPT_NAME = path_prefix("SCRIPT_NAME") or None
CSRF_FAILURE_VIEW = "inspection.views.refusals.form_refused"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{FORCE_SCRIPT_NAME or ''}/"
# Whether people reach the admin over HTTPS only, from a proxy that says so.
HTTPS = one_of("HTTPS", ("false", "true"))
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS == "true"
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if HTTPS == "true" else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS == "true" else None
TRUSTED_PROXIES = networks("TRUSTED_PROXIES")
# A file that the backup writes at its end: its time is shown on the admin's first page.
BACKUP_STAMP = os.environ.get("BACKUP_STAMP", "")
AUDIT_LOG_DAYS = positive_integer("AUDIT_LOG_DAYS", conf.DEFAULT_AUDIT_LOG_DAYS)

INSTALLED_APPS = [
    "inspection",  # before the admin, some of whose templates it replaces
    "inspection.apps.InspectionAdmin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "convstore",
    "api_keys",
    "memory_api",
]
MIDDLEWARE = [
    # First, because what a middleware answers itself passes only those before it.
    "inspection.middleware.AdminContentPolicyMiddleware",
    "inspection.middleware.AdminFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    # Only browsers need these, so they work for the admin's pages only.
    "inspection.middleware.AdminSessionMiddleware",
    "inspection.middleware.AdminCsrfMiddleware",
    "inspection.middleware.AdminAuthenticationMiddleware",
    "inspection.middleware.AdminMessageMiddleware",
    "inspection.middleware.AdminErrorMiddleware",
    "inspection.middleware.AdminSignInLimitMiddleware",
]
ROOT_URLCONF = "convstore.urls"
WSGI_APPLICATION = "convstore.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
STATIC_URL = "admin-static/"
# Static files are served from the installed packages; there is no collectstatic step.
WHITENOISE_USE_FINDERS = True
WHITENOISE_ADD_HEADERS_FUNCTION = add_etag
# Browsers load only the admin's own files, never a script, style or image of a message.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "media-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    },
}
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "inspection.signing_in.AddressLimit",
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_REDIRECT_URL = "admin:index"
SILENCED_SYSTEM_CHECKS = [
    # They look for class names in MIDDLEWARE and do not recognise our subclasses.
    *("axes.W002", "security.W002", "security.W003"),
    # They want TLS of Django. It is the proxy's: HTTPS says so, and memory_api.W010 asks for it.
    *("security.W004", "security.W008", "security.W010", "security.W012", "security.W016"),
]
# Five failed attempts for one user name from one address block that pair for 15 minutes.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "inspection.signing_in.address_of"
# Attempts meanwhile are refused without a look at the password, and do not make the wait longer.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
# So many from one address within that time, whatever the names, block the address.
SIGN_IN_FAILURES_OF_ADDRESS = 20
AXES_DISABLE_ACCESS_LOG = True
# The block ends by itself; 'convstore axes_reset' ends it earlier.
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_LOCKOUT_TEMPLATE = "inspection/locked_out.html"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "memory_api.http_errors.error_response",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "convstore",
    "DESCRIPTION": "Open Inference Protocol (V2): store a message and get the window back.",
    "VERSION": "2",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVERS": [{"url": FORCE_SCRIPT_NAME}] if FORCE_SCRIPT_NAME else [],
    "SERVE_AUTHENTICATION": [],
    "PREPROCESSING_HOOKS": ["memory_api.openapi.strip_trailing_slashes"],
    "POSTPROCESSING_HOOKS": ["memory_api.openapi.add_schemas"],
}
LOG_LEVEL = os.environ.get("LOG_LEVEL", "INFO").upper()
# What writes to the admin's audit log for the doors, which do not know the admin.
AUDIT_LOG = "inspection.audit.record_deletion"
REQUEST_LOG = one_of("REQUEST_LOG", ("console", "json", "off"))
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "exceptions": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: bool(record.exc_info),
        }
    },
    "formatters": {
        "console": {
            "()": "convstore.log_format.LineFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
        },
        "json": {"()": "convstore.log_format.JsonFormatter"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "json" if REQUEST_LOG == "json" else "console",
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # Django would log every reply from 400 on. Only an exception is not in the log already.
        "django.request": {"level": "ERROR", "filters": ["exceptions"]},
        "convstore.request_log": {"level": "CRITICAL" if REQUEST_LOG == "off" else "NOTSET"},
    },
}
