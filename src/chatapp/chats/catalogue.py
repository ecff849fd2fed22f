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
    """Which models there are."""

    def __init__(self, provider: OpenAIProvider, models: Sequence[str], *, fixed: bool) -> None:
        """`models`: the configured ones, the default first; the provider's follow, unless `fixed`."""
        self._provider = provider
        self._models = tuple(models)
        self._complete = fixed
        self._asking: asyncio.Task[tuple[str, ...]] | None = None
        self._failed_at = float("-inf")

    async def known(self) -> tuple[str, ...]:
        """Return the models, the default first; those configured where the provider does not say in time."""
        if not self._complete and monotonic() - self._failed_at > _RETRY:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._ask()
            except (ProviderError, TimeoutError):
                # It may still answer; meanwhile no other page waits for it.
                self._failed_at = monotonic()
        return self._models

    async def pick(self, model: str, *, otherwise: str = "") -> str:
        """Return the model as it may be asked; without one `otherwise`, else the default one.

        Raises InvalidInput for one that is not offered, ProviderError where only the provider knows and does
        not say.
        """
        model = model.strip()
        if model and not (_MODEL_NAME.fullmatch(model) and await self._offers(model)):
            raise InvalidInput("model", "This model is not offered here.")
        if not (model or otherwise or self._models):
            await self._ask()
        return model or otherwise or self._models[0]

    async def _offers(self, model: str) -> bool:
        if not self._models or model in self._models:
            # The list is not known yet, so any name may be on it.
            return True
        return model in await self.known()

    async def _ask(self) -> None:
        """Ask the provider, once for all who wait."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._provider.listed())
            self._asking.add_done_callback(self._answered)
        await asyncio.shield(self._asking)

    def _answered(self, asking: "asyncio.Task[tuple[str, ...]]") -> None:
        self._asking = None
        if asking.cancelled():
            return
        if asking.exception():
            self._failed_at = monotonic()
        else:
            self._complete = True
            # A name that nobody may ask for is offered to nobody.
            listed = tuple(model for model in asking.result() if _MODEL_NAME.fullmatch(model))
            if not self._models:
                self._models = listed
            elif self._models[0] in listed:
                # Otherwise the list is about other models than those that may be asked here.
                self._models = tuple(dict.fromkeys(self._models + listed))

    async def aclose(self) -> None:
        """Ask no longer."""
        if self._asking is not None:
            await cancel([self._asking])
