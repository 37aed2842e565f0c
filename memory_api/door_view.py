"""The view that every route of a door over HTTP begins with: shares, metrics, compression."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.views import APIView

from memory_api import http_metrics
from memory_api.budget import Share
from memory_api.received import SingleFormat
from memory_api.responses import compress


class DoorView(APIView):
    """What all routes share: the part of Django REST framework's view that a door needs."""

    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = SingleFormat
    http_method_names: Any = ("get", "post", "head")

    def __init__(self, **initial: Any) -> None:
        super().__init__(**initial)
        self.share = Share()  # the parser takes what the body takes

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with self.share:
            response = super().dispatch(request, *args, **kwargs)
        # The view and its request refer to each other: what they hold, such as a body of megabytes,
        # would stay until the garbage collector comes to it.
        self.request.parser_context.clear()
        del self.request, self.response
        return response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Nothing: there is one format, one version, and no authentication or throttle."""

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}  # replies to a wrong method have Allow; none depends on Accept

    def finalize_response(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, *args, **kwargs)
        http = request._request  # reading it through DRF's request takes time
        route = http.resolver_match.url_name if http.resolver_match else None
        known = (http.method or "").lower() in self.http_method_names
        # A client can invent methods; each would be kept for ever.
        method = http.method if known else "other"
        http_metrics.requests_of(method, route or "", response.status_code).inc()
        compress(http, response)
        return response
