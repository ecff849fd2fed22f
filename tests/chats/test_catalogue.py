"""Which models people are offered, whatever is configured, and whatever the provider lists."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from chatapp.answers.provider import OpenAIProvider
from chatapp.chats import catalogue as catalogues
from chatapp.chats.catalogue import Catalogue
from chatapp.errors import InvalidInput, ProviderError
from tests.support.processes import free_port
from tests.support.provider import ScriptedProvider


@asynccontextmanager
async def offering(address: str, models: Sequence[str], *, fixed: bool = False) -> AsyncIterator[Catalogue]:
    provider = OpenAIProvider(address, "sk-test-0123456789", models)
    catalogue = Catalogue(provider, models, fixed=fixed)
    try:
        yield catalogue
    finally:
        await catalogue.aclose()
        await provider.aclose()


@pytest.mark.parametrize(
    ("configured", "fixed", "known"),
    [
        pytest.param([], False, ("a", "b", "c"), id="nothing"),
        pytest.param(["b"], False, ("b", "a", "c"), id="default"),
        pytest.param(["b", "d"], True, ("b", "d"), id="list"),
        pytest.param(["d"], False, ("d",), id="default-not-listed"),
    ],
)
async def test_what_is_offered(configured: list[str], fixed: bool, known: tuple[str, ...]) -> None:
    async with (
        ScriptedProvider(models=("a", "b", "<img src=x>", "x" * 201, "\u202ed", "c")) as scripted,
        offering(scripted.base_url, configured, fixed=fixed) as catalogue,
    ):
        assert await catalogue.known() == known
        assert await catalogue.pick("") == known[0]
        assert await catalogue.pick("", otherwise="kept") == "kept"
        for model in known:
            assert await catalogue.pick(model) == model
        for model in ("e", "a b", "x" * 201):
            with pytest.raises(InvalidInput):
                await catalogue.pick(model)


async def test_another_model_of_the_list_is_picked_before_anybody_has_seen_the_list() -> None:
    async with (
        ScriptedProvider(models=("a", "b")) as scripted,
        offering(scripted.base_url, ["b"]) as catalogue,
    ):
        assert await catalogue.pick("a") == "a"


async def test_a_provider_that_cannot_be_reached() -> None:
    address = f"http://127.0.0.1:{free_port()}/v1"
    async with offering(address, ["b"]) as catalogue:
        assert await catalogue.known() == ("b",)
        assert await catalogue.pick("") == await catalogue.pick("b") == "b"
        with pytest.raises(InvalidInput):
            await catalogue.pick("a")
    async with offering(address, []) as catalogue:
        assert await catalogue.known() == ()
        with pytest.raises(ProviderError):
            await catalogue.pick("")


async def test_a_provider_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    async with offering(f"http://127.0.0.1:{port}/v1", ["b"]) as catalogue:
        assert await catalogue.known() == ("b",)
        async with ScriptedProvider(port=port, models=("a", "b")):
            # Not asked again by every page.
            assert await catalogue.known() == ("b",)
            monkeypatch.setattr(catalogues, "_RETRY", 0.0)
            assert await catalogue.known() == ("b", "a")
