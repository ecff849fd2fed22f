"""Try the provider as it is configured, and say which of address, key and model is wrong."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from enum import StrEnum
from time import monotonic
from typing import Literal

from msgspec import Struct

from chatapp.answers.provider import OpenAIProvider, Prompt, Turn
from chatapp.answers.upstream import Delta
from chatapp.errors import ProviderError
from chatapp.storage.connections import without_password

__all__ = ("Endpoint", "Finding", "Part", "Verdict", "examine_provider")

_QUESTION = "Reply with the single word: ready"
#: The setting that an error code points at; any other code points at the model.
_PARTS: dict[str, "Part"] = {
    "auth": "key",
    "quota": "key",
    "rate_limit": "key",
    "connection": "address",
    "timeout": "address",
    "protocol": "address",
}

Part = Literal["address", "key", "model"]


class Verdict(StrEnum):
    """How good a finding is."""

    FINE = "ok"
    DOUBTFUL = "warning"
    BROKEN = "broken"


class Finding(Struct, frozen=True):
    """One thing that was examined; `part`: the provider's setting that it is about."""

    verdict: Verdict
    subject: str
    words: str
    part: Part | None = None


class Endpoint(Struct, frozen=True):
    """The provider as it is configured; `models`: the default one first."""

    base_url: str | None
    api_key: str | None
    models: Sequence[str] = ()

    @property
    def address(self) -> str:
        return without_password(self.base_url or "https://api.openai.com/v1")

    def __repr__(self) -> str:
        # The key must not get into a log by accident.
        return f"Endpoint({self.address!r})"


async def examine_provider(endpoint: Endpoint, *, ask: bool, patience: float) -> AsyncIterator[Finding]:
    """Read the list of models; with `ask`, put a short question to the default one.

    `patience`: seconds for its first word; a local model is loaded first.
    """
    provider = OpenAIProvider(endpoint.base_url, endpoint.api_key)
    listing = None
    try:
        offered: tuple[str, ...] = ()
        try:
            offered = await provider.models()
            words = f"{endpoint.address} offers {len(offered)} models"
            yield Finding(Verdict.FINE, "provider", words, "address")
        except ProviderError as error:
            # Some servers have no list; the question tells whether they answer.
            listing = error.code
            verdict = Verdict.BROKEN if listing in ("auth", "connection", "timeout") else Verdict.DOUBTFUL
            part = _PARTS.get(listing, "address")
            yield Finding(verdict, "provider", f"{endpoint.address}: {error.message}", part)
            if verdict is Verdict.BROKEN:
                return
        for model in endpoint.models:
            if offered and model not in offered:
                yield Finding(Verdict.DOUBTFUL, "model", f"{model} is not in the provider's list", "model")
        if ask and (endpoint.models or offered):
            yield await _asked(provider, (*endpoint.models, *offered)[0], listing, patience)
    finally:
        await provider.aclose()


async def _asked(provider: OpenAIProvider, model: str, listing: str | None, patience: float) -> Finding:
    """Put a question to a model, and wait for its first word only; `listing`: why there is no list."""
    began = monotonic()
    try:
        async with asyncio.timeout(patience):
            async with aclosing(provider.stream(Prompt(model, [Turn("user", _QUESTION)]))) as upstream:
                if isinstance(await upstream.read(), Delta):
                    words = f"{model} answers after {monotonic() - began:.1f} s"
                    return Finding(Verdict.FINE, "model", words, "model")
    except ProviderError as error:
        # A server that knows neither a list of models nor this one: its address is wrong.
        part = "address" if error.code == listing == "not_found" else _PARTS.get(error.code, "model")
        return Finding(Verdict.BROKEN, "model", f"{model}: {error.message}", part)
    except TimeoutError:
        return Finding(Verdict.BROKEN, "model", f"{model} said nothing within {patience:.0f} s", "model")
    return Finding(Verdict.BROKEN, "model", f"{model} sent an empty answer", "model")
