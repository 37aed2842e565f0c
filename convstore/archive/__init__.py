"""What people read, search and erase.

Every read has a limit. Nothing here adds a message, or changes what one says.
"""

from __future__ import annotations
