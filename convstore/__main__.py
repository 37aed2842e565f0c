"""The command `convstore`: Django's commands and ours, with the settings of the service."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError

from convstore import __version__


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convstore.settings")
    if sys.argv[1:] in (["version"], ["--version"]):
        sys.stdout.write(f"convstore {__version__}\n")  # and not Django's
        return
    # A wrong setting, or a database that is down, is one sentence and not a traceback.
    try:
        execute_from_command_line(["convstore", *sys.argv[1:]])
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    except OperationalError as error:
        sys.exit(f"The database cannot be used: {error}")


if __name__ == "__main__":
    main()
