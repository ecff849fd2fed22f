"""The models that people may pick: the configured ones, or those that the provider lists."""

import asyncio
import re
from collections.abc import Sequence
from time import monotonic

from chatapp.answers.provider import OpenAIProvider
from chatapp.errors import InvalidInput, ProviderError
from chatapp.tasks import cancel

__all__ = ("Catalogue",)

_MODEL_NAME = re.compile(r"[\x21-\x7e]{1,200}")
#: Seconds that a page waits for the provider's list, and after which a provider that failed is asked again.
_PATIENCE = 1.0
_RETRY = 30.0


class Catalogue:
    """Which models there are; `models` are the configured ones, the default first."""

    def __init__(self, provider: OpenAIProvider, models: Sequence[str]) -> None:
        self._provider = provider
        self._models = tuple(models)
        self._asking: asyncio.Task[tuple[str, ...]] | None = None
        self._failed_at = float("-inf")

    async def known(self) -> tuple[str, ...]:
        """Return the models, the default first; none where the provider does not say in time."""
        if self._models or monotonic() - self._failed_at < _RETRY:
            return self._models
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._ask()
        except (ProviderError, TimeoutError):
            return ()

    async def pick(self, model: str, *, otherwise: str = "") -> str:
        """Return the model as it may be asked; without one `otherwise`, else the default one.

        Raises InvalidInput for one that is not offered, ProviderError where only the provider knows and does
        not say.
        """
        model = model.strip()
        if model and (not _MODEL_NAME.fullmatch(model) or (self._models and model not in self._models)):
            raise InvalidInput("model", "This model is not offered here.")
        return model or otherwise or (self._models or await self._ask())[0]

    async def _ask(self) -> tuple[str, ...]:
        """Ask the provider, once for all who wait."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._provider.models())
            self._asking.add_done_callback(self._answered)
        return await asyncio.shield(self._asking)

    def _answered(self, asking: "asyncio.Task[tuple[str, ...]]") -> None:
        self._asking = None
        if asking.cancelled():
            return
        if asking.exception():
            self._failed_at = monotonic()
        else:
            self._models = asking.result()

    async def aclose(self) -> None:
        """Ask no longer."""
        if self._asking is not None:
            await cancel([self._asking])
