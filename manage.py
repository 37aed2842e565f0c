#!/usr/bin/env python
"""The command `convstore`, in a checkout."""

from __future__ import annotations

from convstore.__main__ import main

if __name__ == "__main__":
    main()
