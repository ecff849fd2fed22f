"""Find out which promise a Redis server can keep, by its persistence, memory policy and limits."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from chatapp.errors import SettingsError

__all__ = ("CONNECTIONS", "Promise", "read_promise")

logger = logging.getLogger(__name__)

#: Connections of one process, as `Connections` makes them.
CONNECTIONS = 6
#: The first version with `XADD … NOMKSTREAM`, without which an evicted log could be made anew.
_OLDEST = (6, 2)
#: For what managed services do not tell, because they forbid CONFIG.
_UNKNOWN = "unknown"

_LEVELS = {
    "always": "every answer is on disk before it is shown; any process and the Redis host may die",
    "everysec": "any process may die; should the Redis host lose its last second, a living worker sends"
    " it again",
    "no": "any process may die; when the Redis host dies, what the system had not written yet is lost,"
    " except what a living worker sends again",
    _UNKNOWN: "any process may die; how often the server syncs its append-only file it does not tell",
}
_SNAPSHOTS = "any process may die; a restart of Redis loses all since its last snapshot"
_NOTHING = "any process of the chat may die, but a restart of Redis loses every chat"


class Promise(Struct, frozen=True):
    """What a server promises; `warnings` are sentences for its operator."""

    server: str
    words: str
    warnings: tuple[str, ...]
    connected: int
    limit: int

    def log(self) -> None:
        """Say at the start which promise is in force."""
        logger.info("%s: %s", self.server, self.words)
        for warning in self.warnings:
            logger.warning("%s: %s", self.server, warning)


async def read_promise(redis: Redis) -> Promise:
    """Ask a server; raise SettingsError when it can keep no promise at all."""
    try:
        info: dict[str, Any] = await redis.info("everything")
    except ResponseError:
        return Promise("Redis", "what it keeps, it does not tell: INFO is forbidden", (), 0, 0)
    name, version = _server(info)
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if numbers < _OLDEST:
        needed = ".".join(map(str, _OLDEST))
        raise SettingsError("REDIS_URL", f"{name} {version} is too old; {needed} or newer is needed")
    if info.get("role") == "slave":
        raise SettingsError("REDIS_URL", "names a replica, which takes no writes; name its primary")
    config = await _config(redis)
    policy = str(info.get("maxmemory_policy") or config.get("maxmemory-policy") or _UNKNOWN)
    appendonly = bool(info.get("aof_enabled"))
    fsync = config.get("appendfsync", _UNKNOWN)
    connected, limit = int(info.get("connected_clients", 0)), int(info.get("maxclients", 0))
    return Promise(
        server=f"{name} {version}",
        words=_words(appendonly, fsync, config),
        warnings=tuple(_warnings(appendonly, policy, int(info.get("maxmemory", 0)), connected, limit)),
        connected=connected,
        limit=limit,
    )


def _server(info: Mapping[str, Any]) -> tuple[str, str]:
    # Valkey calls itself Redis 7.2.4 for the sake of old clients.
    if info.get("server_name") == "valkey" or "valkey_version" in info:
        return "Valkey", str(info["valkey_version"])
    return "Redis", str(info.get("redis_version", "0.0"))


async def _config(redis: Redis) -> dict[str, str]:
    """Return what CONFIG tells; nothing where a managed service forbids it."""
    with suppress(RedisError):
        found: Any = await redis.config_get("appendfsync", "save", "maxmemory-policy")
        return {_text(name): _text(value) for name, value in found.items()}
    return {}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _words(appendonly: bool, fsync: str, config: Mapping[str, str]) -> str:
    if appendonly:
        return _LEVELS.get(fsync, _LEVELS[_UNKNOWN])
    return _NOTHING if config.get("save") == "" else _SNAPSHOTS


def _warnings(appendonly: bool, policy: str, maxmemory: int, connected: int, limit: int) -> list[str]:
    warnings = []
    if not appendonly:
        warnings.append("no append-only file: set `appendonly yes`, or use a plan with persistence")
    if maxmemory and policy.startswith("allkeys"):
        warnings.append(
            f"maxmemory-policy is {policy}: when memory runs short it deletes chats and running answers;"
            " set it to noeviction"
        )
    elif maxmemory and policy.startswith("volatile"):
        warnings.append(
            f"maxmemory-policy is {policy}: when memory runs short, readers of answers that have just ended"
            " are served from the saved message; noeviction is meant"
        )
    # Servers before 7.0 do not tell the limit.
    if limit and limit - connected < CONNECTIONS:
        warnings.append(
            f"only {limit - connected} of {limit} connections are free;"
            f" every process of the chat needs {CONNECTIONS}"
        )
    return warnings
