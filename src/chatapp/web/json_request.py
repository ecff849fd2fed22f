"""Read the JSON body of a request, strictly."""

import json
from typing import Any

from litestar import Request
from litestar.exceptions import ClientException, HTTPException

from chatapp.errors import InvalidInput

__all__ = ("JsonRequest",)

_NUMBERS = ("temperature", "max_tokens")


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body is JSON; one that is not is the caller's error, whatever is wrong with it."""

    async def json(self) -> Any:
        if self.content_type[0] not in ("application/json", ""):
            raise HTTPException(status_code=415)
        try:
            body = await super().json()
            # Of a name that stands twice two programs may take two values: neither is what was meant.
            json.loads(await self.body() or b"null", object_pairs_hook=_once, parse_int=str)
        except (UnicodeDecodeError, RecursionError, ValueError):
            raise ClientException from None
        for name in _NUMBERS:
            # Litestar would take a number in quotes for one.
            if isinstance(body, dict) and isinstance(body.get(name), str):
                raise InvalidInput(name, f"{name} is a number.")
        return body


def _once(pairs: list[tuple[str, Any]]) -> None:
    """Raise ValueError where a JSON object has a name twice."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError
