"""Examine a deployment: Redis, the provider, the processes; every finding is a sentence for its operator."""

from collections.abc import AsyncIterator

from redis.asyncio import Redis

from chatapp.answers.checkup import Endpoint, Finding, Verdict, examine_provider
from chatapp.errors import SettingsError
from chatapp.settings import Settings
from chatapp.storage import keys
from chatapp.storage.connections import Connections, without_password
from chatapp.storage.embedded import EmbeddedRedis
from chatapp.storage.promise import CONNECTIONS, read_promise

__all__ = ("Finding", "Verdict", "examine")

#: Seconds a model may take for its first word; a local one is loaded first.
_PATIENCE = 60.0
_SHORT_SECRET = 16
#: Milliseconds after which a worker is not counted any more (it looks for work once a second), or forgotten.
_ABSENT, _FORGOTTEN = 15_000, 86_400_000


async def examine(settings: Settings, *, ask: bool = True) -> list[Finding]:
    """Look at everything there is; with `ask`, put one short question to the default model."""
    findings = [finding async for finding in _redis(settings)]
    findings += [finding async for finding in _provider(settings, ask=ask)]
    findings += _deployment(settings)
    return findings


async def _redis(settings: Settings) -> AsyncIterator[Finding]:
    if settings.redis_url is not None:
        async for finding in _server(settings, settings.redis_url):
            yield finding
        return
    try:
        with EmbeddedRedis(settings.data_dir) as embedded:
            yield Finding(Verdict.FINE, "Redis", f"none is named; one of its own runs in {settings.data_dir}")
            async for finding in _server(settings, embedded.url):
                yield finding
    except SettingsError as error:
        # Most often because the chat is running, and owns its folder.
        yield Finding(Verdict.DOUBTFUL, "Redis", str(error))


async def _server(settings: Settings, url: str) -> AsyncIterator[Finding]:
    try:
        async with Connections(url) as connections:
            await connections.check()
            promise = await read_promise(connections.commands)
            address = without_password(url)
            clients = f", {promise.connected} of {promise.limit} connections in use" if promise.limit else ""
            yield Finding(Verdict.FINE, "Redis", f"{promise.server} at {address}{clients}")
            yield Finding(Verdict.FINE, "promise", promise.words)
            for warning in promise.warnings:
                yield Finding(Verdict.DOUBTFUL, "Redis", warning)
            if settings.workers == "external":
                yield await _workers(connections.commands)
    except (SettingsError, TypeError, ValueError) as error:
        yield Finding(Verdict.BROKEN, "Redis", str(error))


async def _workers(redis: Redis) -> Finding:
    """Count the worker processes that have looked for work lately."""
    seconds, _ = await redis.time()
    now = int(seconds) * 1000
    present = await redis.zcount(keys.WORKERS, now - _ABSENT, "+inf")
    await redis.zremrangebyscore(keys.WORKERS, "-inf", now - _FORGOTTEN)
    if present:
        return Finding(Verdict.FINE, "workers", f"{present} waiting for work")
    return Finding(
        Verdict.BROKEN, "workers", "CHATAPP_WORKERS is external, but no `chatapp worker` is running"
    )


async def _provider(settings: Settings, *, ask: bool) -> AsyncIterator[Finding]:
    if settings.demo:
        words = "none is named (OPENAI_API_KEY, OPENAI_BASE_URL): the built-in demo model answers"
        yield Finding(Verdict.DOUBTFUL, "provider", words)
        return
    endpoint = Endpoint(settings.openai_base_url, settings.openai_api_key, settings.models)
    async for finding in examine_provider(endpoint, ask=ask, patience=_PATIENCE):
        yield finding


def _deployment(settings: Settings) -> list[Finding]:
    findings = []
    if settings.secret_key is not None and len(settings.secret_key) < _SHORT_SECRET:
        words = f"SECRET_KEY is short; everybody's session depends on it: {_SHORT_SECRET} characters or more"
        findings.append(Finding(Verdict.DOUBTFUL, "sessions", words))
    if settings.host not in ("127.0.0.1", "localhost", "::1") and not settings.allowed_hosts:
        words = "CHATAPP_ALLOWED_HOSTS is not set: any Host header is served"
        findings.append(Finding(Verdict.DOUBTFUL, "web", words))
    if settings.redis_url is None and settings.workers == "external":
        words = "external workers need a Redis that they share with the web: set REDIS_URL"
        findings.append(Finding(Verdict.BROKEN, "workers", words))
    processes = settings.web_concurrency
    words = f"{processes} web process(es), {CONNECTIONS} connections to Redis each"
    findings.append(Finding(Verdict.FINE, "web", words))
    return findings
