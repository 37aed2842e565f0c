"""From the environment to Django's settings, read top to bottom.

Every variable is in the table of docs/reference/settings.md. Other packages are named as strings.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from wsgiref.headers import Headers

from django.core.exceptions import ImproperlyConfigured
from sqlalchemy.engine import URL

from convstore.database.url import prepared_database_settings
from convstore.errors import DatabaseUrlError


def positive(name: str, default: int, largest: int | None = None) -> int:
    """The variable `name` as an integer from 1 to `largest`, or without an end."""
    text = os.environ.get(name, str(default))
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1 or (largest is not None and number > largest):
        wanted = "of at least 1" if largest is None else f"from 1 to {largest}"
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be an integer {wanted}.")
    return number


def listed(name: str, default: str) -> list[str]:
    """The variable `name` as a list, its items apart by commas."""
    return [item.strip() for item in os.environ.get(name, default).split(",") if item.strip()]


def kept_secret_key(path: Path) -> str:
    """A key that was made once and is kept in `path`, so that sign-ins outlive a restart.

    Where nothing can be written it is made anew, and handed to this process's children;
    Django's name for such a key is insecure.
    """
    key = secrets.token_urlsafe(50)
    draft = path.with_name(f"secret_key.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            draft.touch(mode=0o600)
            draft.write_text(key)
            # Never half written, and never over another process's key.
            with suppress(FileExistsError):
                path.hardlink_to(draft)
            draft.unlink()
        return path.read_text()
    except OSError:
        os.environ["SECRET_KEY"] = f"django-insecure-{key}"
        return os.environ["SECRET_KEY"]


def models_folder() -> Path:
    """MODELS_DIR; else the folder `models`, if there is one, else the memory of this package."""
    here = Path(os.environ.get("MODELS_DIR", "models"))
    if "MODELS_DIR" in os.environ or here.is_dir():
        return here.absolute()
    return Path(__file__).resolve().parent.parent / "memory_api" / "default_models"


def tag_by_content(headers: Headers, path: str, url: str) -> None:
    """An ETag that a file keeps in every replica, and that changes when the file does.

    A weak one, since the file is sent compressed and as it is.
    """
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    headers["ETag"] = f'W/"{digest[:32]}"'


# --- The service -------------------------------------------------------------------------

# Where everything is kept that is named by no path, or by a relative one.
DATA_DIR = Path(os.environ.get("DATA_DIR") or "data").absolute()
HOST = os.environ.get("HOST", "127.0.0.1")
PORT = positive("PORT", 8080, largest=65535)
WORKERS = positive("WORKERS", 1)
THREADS = positive("THREADS", 8)
MODELS_DIR = models_folder()
# How long a request may wait for its database, in seconds; then it is answered with 503.
DATABASE_TIMEOUT = positive("DATABASE_TIMEOUT", 5)
MAX_BODY_BYTES = positive("MAX_BODY_BYTES", 64 * 1024 * 1024)
MAX_PARTS = positive("MAX_PARTS", 10_000)

# What `filesys` with its default path uses, so that the admin shows the default memory.
DATABASE_URL = os.environ.get(
    "DATABASE_URL", URL.create("sqlite", database=str(DATA_DIR / "conversations.sqlite3"))
)
try:
    DATABASES = {"default": prepared_database_settings(DATABASE_URL, timeout=DATABASE_TIMEOUT)}
except DatabaseUrlError as error:
    raise ImproperlyConfigured(f"DATABASE_URL: {error}") from None
# SQL Server's driver would pool connections by itself, and hand out dead ones.
DATABASE_CONNECTION_POOLING = False

# --- Django ------------------------------------------------------------------------------

SECRET_KEY = os.environ.get("SECRET_KEY") or kept_secret_key(DATA_DIR / "secret_key")
DEBUG = False
# The API is called by address and by service name alike; name the hosts where the admin
# is open to browsers from outside.
ALLOWED_HOSTS = listed("ALLOWED_HOSTS", "*")
CSRF_TRUSTED_ORIGINS = listed("CSRF_TRUSTED_ORIGINS", "")

INSTALLED_APPS = [
    "inspection",  # before the admin, some of whose templates it has its own of
    "inspection.apps.InspectionAdmin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "convstore",
    "memory_api",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    # Only browsers need these, so they work for the admin alone.
    "inspection.middleware.AdminSessionMiddleware",
    "inspection.middleware.AdminCsrfMiddleware",
    "inspection.middleware.AdminAuthenticationMiddleware",
    "inspection.middleware.AdminMessageMiddleware",
    "inspection.middleware.AdminFrameOptionsMiddleware",
    "inspection.middleware.AdminContentPolicyMiddleware",
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
# Served out of the installed packages: no step collects the files, and none is written.
WHITENOISE_USE_FINDERS = True
WHITENOISE_ADD_HEADERS_FUNCTION = tag_by_content
# Nothing but the admin's own files; no script, style or image of a message is ever let in.
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
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_REDIRECT_URL = "/admin/"
# These look for classes by name in MIDDLEWARE, and overlook the subclasses there.
SILENCED_SYSTEM_CHECKS = ["axes.W002", "security.W002", "security.W003"]
# After five failed attempts under one name from one address, a quarter of an hour of none.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
# Hours pass by themselves, and 'convstore axes_reset' is there for who cannot wait.
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
    "TITLE": "Conversational memory",
    "DESCRIPTION": "Open Inference Protocol (V2): store a message and get the window back.",
    "VERSION": "2",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "PREPROCESSING_HOOKS": ["memory_api.openapi.strip_trailing_slashes"],
    "POSTPROCESSING_HOOKS": ["memory_api.openapi.add_schemas"],
}
LOG_LEVEL = os.environ.get("LOG_LEVEL", "INFO").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # Or each 4xx would be a line in the log.
    "loggers": {"django.request": {"level": "ERROR"}},
}
