"""What MLServer 1.7 lacks, changed in its own modules: statuses of gRPC, and ids that it made.

Both are module-level names of MLServer; a test fails if another version has them no more.
"""

from __future__ import annotations

import grpc
from mlserver.grpc import utils as grpc_utils
from mlserver.handlers import dataplane
from mlserver.utils import generate_uuid

# MLServer knows 400, 404, 422 and 500; any other status would be UNKNOWN, by which no client
# tries again.
GRPC_STATUSES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


class MadeId(str):
    """The id of a request to MLServer's REST that came without one: no client knows it."""

    __slots__ = ()


def change_mlserver() -> None:
    """Have MLServer's gRPC say GRPC_STATUSES, and have the ids that it makes be MadeIds."""
    grpc_utils.STATUS_CODE_MAPPING.update(GRPC_STATUSES)
    dataplane.generate_uuid = _made_id


def _made_id() -> MadeId:
    return MadeId(generate_uuid())
