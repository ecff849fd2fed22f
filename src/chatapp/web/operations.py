"""Probes for the platform: is the process alive, and able to serve?"""

import asyncio

from litestar import Controller, Response, get
from litestar.openapi.datastructures import ResponseSpec

from chatapp.storage.connections import UNREACHABLE, RedisError
from chatapp.web.services import Services

__all__ = ("OperationsController",)


#: Seconds for Redis to answer a probe.
_PATIENCE = 2


class OperationsController(Controller):
    """Probes; they need no session and give none."""

    tags = ("operations",)

    @get("/health", summary="The process is alive")
    async def health(self) -> dict[str, str]:
        return {"status": "ok"}

    @get(
        "/ready",
        summary="Able to serve: Redis answers, and the process is not about to end",
        responses={503: ResponseSpec(dict[str, str], description="Not now.", generate_examples=False)},
    )
    async def ready(self, services: Services) -> Response[dict[str, str]]:
        if services.draining:
            return Response({"status": "draining"}, status_code=503)
        try:
            # Who probes does not wait as long as a person would.
            async with asyncio.timeout(_PATIENCE):
                await services.connections.commands.ping()
        except (*UNREACHABLE, RedisError):
            return Response({"status": "redis does not answer"}, status_code=503)
        return Response({"status": "ok"})
