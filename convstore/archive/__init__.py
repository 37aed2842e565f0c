"""What people read, search and erase.

Every read has a limit. Nothing here adds or changes a message.
"""

from __future__ import annotations
