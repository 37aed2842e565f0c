"""The contract's fixed limits. MAX_BODY_BYTES and others are settings."""

from __future__ import annotations

from convstore.messages import MAX_NAME_LENGTH

# In UTF-16 units, as SQL Server and Oracle count: an emoji is two of them.
MAX_MEMORY_ID_LENGTH = MAX_NAME_LENGTH
MAX_KEY_CHARACTERS = 255
MAX_WINDOW_SIZE = 2**31 - 1
# Of one message, and of a window.
MAX_TOKENS = 2**31 - 1
# Levels of lists and objects. Code that reads a tool call later may call itself once a level.
MAX_TOOL_CALL_DEPTH = 100
# Levels of any JSON: Python's parser would fail somewhere above.
MAX_JSON_DEPTH = 256
# A body that is compressed in one piece has one.
MAX_GZIP_MEMBERS = 100
# As so many bytes of a body a value counts where memory is shared out: it takes about as much.
BYTES_OF_A_VALUE = 16
