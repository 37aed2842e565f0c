"""How long a proof is: short in `make test`, and at length in `make soak`, which sets SOAK.

`pytest.mark.soak` is on what `make soak` runs; `soak_only` on what has no short form.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any

SOAK = bool(os.environ.get("SOAK"))
# How long a proof goes on that is about time, and not about how often something is hit.
MINUTES = float(os.environ.get("SOAK_MINUTES", "5"))


def times(short: int, *, soak: int) -> int:
    return soak if SOAK else short


def sampled(cases: Sequence[Any], *, one_in: int) -> list[Any]:
    """All cases; in a short run one in so many, in their order. Each run takes others."""
    if SOAK:
        return list(cases)
    chosen = random.sample(range(len(cases)), -(-len(cases) // one_in))
    return [cases[n] for n in sorted(chosen)]
