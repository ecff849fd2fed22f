"""Read the environment into one frozen struct; a wrong value is one clear line that names its variable."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec
import platformdirs
from dotenv import dotenv_values

from chatapp.errors import SettingsError

__all__ = ("KNOWN_CHATAPP_VARIABLES", "Settings", "load_settings")

#: Every `CHATAPP_…` variable there is; any other one stops the start, so that a typo does not pass silently.
KNOWN_CHATAPP_VARIABLES = (
    "CHATAPP_ALLOWED_HOSTS",
    "CHATAPP_API",
    "CHATAPP_DATA_DIR",
    "CHATAPP_IDLE_TIMEOUT",
    "CHATAPP_RESUME",
    "CHATAPP_RUNNING_LIMIT",
    "CHATAPP_TITLES",
    "CHATAPP_WORKERS",
)
_STRATEGIES = ("auto", "server", "prefill", "restart", "none")

_REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
_SECRET_FIELDS = ("secret_key", "openai_api_key")
_URL_FIELDS = ("redis_url", "openai_base_url")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
_ALLOWED_HOST = re.compile(r"\*|(\*\.)?[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Hold everything the environment decides."""

    #: Address to listen on (`HOST`).
    host: str = "127.0.0.1"
    #: TCP port to listen on, 0 for any free one (`PORT`).
    port: int = 8000
    #: Number of web processes, 1..64 (`WEB_CONCURRENCY`).
    web_concurrency: int = 1
    #: Redis to use, or None for the embedded one (`REDIS_URL`).
    redis_url: str | None = None
    #: Signs sessions; None only beside the embedded Redis, which keeps one (`SECRET_KEY`).
    secret_key: str | None = None
    #: The provider's key (`OPENAI_API_KEY`).
    openai_api_key: str | None = None
    #: The provider's address, as the openai package takes it (`OPENAI_BASE_URL`).
    openai_base_url: str | None = None
    #: The default model (`OPENAI_MODEL`).
    openai_model: str | None = None
    #: The models people may pick; empty means the provider's list (`OPENAI_MODELS`).
    openai_models: tuple[str, ...] = ()
    #: Whether web processes generate too, or only workers do (`CHATAPP_WORKERS`).
    workers: Literal["inline", "external"] = "inline"
    #: Which of OpenAI's interfaces the provider is asked by (`CHATAPP_API`).
    api: Literal["auto", "chat", "responses"] = "auto"
    #: Answers that one person may have running at once; questions a minute and open streams go with it; 0: no
    #: limit (`CHATAPP_RUNNING_LIMIT`).
    running_limit: int = 0
    #: Seconds of the provider's silence after which its stream counts as dead (`CHATAPP_IDLE_TIMEOUT`).
    idle_timeout: int = 60
    #: Who names a chat after its first answer: the model, or nobody (`CHATAPP_TITLES`).
    titles: Literal["model", "words"] = "model"
    #: How an answer that broke off goes on: pairs of a pattern of models and a strategy, the first that fits
    #: counts (`CHATAPP_RESUME`).
    resume: tuple[tuple[str, str], ...] = ()
    #: Folder of the embedded Redis and its key (`CHATAPP_DATA_DIR`).
    data_dir: Path
    #: Values of the Host header that are served; empty means all (`CHATAPP_ALLOWED_HOSTS`).
    allowed_hosts: tuple[str, ...] = ()

    @property
    def demo(self) -> bool:
        """Tell whether no provider is named, so that the built-in demo model answers."""
        return self.openai_api_key is None and self.openai_base_url is None

    @property
    def models(self) -> tuple[str, ...]:
        """Return the configured models, the default one first."""
        return tuple(dict.fromkeys(filter(None, (self.openai_model, *self.openai_models))))

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Check every variable of `environ`; raise SettingsError for the first wrong one."""
        env = {name: value.strip() for name, value in environ.items() if value.strip()}
        _refuse_unknown(env)
        redis_url = _redis_url(env)
        secret_key = env.get("SECRET_KEY")
        if redis_url is not None and secret_key is None:
            raise SettingsError("SECRET_KEY", "required when REDIS_URL is set (any long random text)")
        return cls(
            host=_host(env),
            port=_number(env, "PORT", 8000, 0, 65535),
            web_concurrency=_number(env, "WEB_CONCURRENCY", 1, 1, 64),
            redis_url=redis_url,
            secret_key=secret_key,
            openai_api_key=_api_key(env),
            openai_base_url=_base_url(env),
            openai_model=next(iter(_models(env, "OPENAI_MODEL", env.get("OPENAI_MODEL"))), None),
            openai_models=_models(env, "OPENAI_MODELS", *env.get("OPENAI_MODELS", "").split(",")),
            workers=_choice(env, "CHATAPP_WORKERS", "inline", "external"),
            api=_choice(env, "CHATAPP_API", "auto", "chat", "responses"),
            running_limit=_number(env, "CHATAPP_RUNNING_LIMIT", 0, 0, 10_000),
            idle_timeout=_number(env, "CHATAPP_IDLE_TIMEOUT", 60, 1, 86400),
            titles=_choice(env, "CHATAPP_TITLES", "model", "words"),
            resume=_resume(env),
            data_dir=_data_dir(env),
            allowed_hosts=_allowed_hosts(env),
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, _safe(name, getattr(self, name))) for name in self.__struct_fields__]

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


def load_settings() -> Settings:
    """Read `.env` in the working directory and the environment, which wins, and check both."""
    file = Path.cwd() / ".env"
    try:
        from_file = dotenv_values(file, encoding="utf-8-sig") if file.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(".env", f"cannot be read: {reason}") from None
    merged = {name: value for name, value in from_file.items() if value is not None}
    return Settings.from_env({**merged, **os.environ})


def _safe(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _SECRET_FIELDS:
        return "…"
    if name in _URL_FIELDS:
        url = urlsplit(value)
        address = url.netloc.rpartition("@")[2]
        return f"{url.scheme}://{address}{url.path}"
    return value


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:39] + "…")


def _refuse_unknown(env: Iterable[str]) -> None:
    for name in sorted(env):
        if name.startswith("CHATAPP_") and name not in KNOWN_CHATAPP_VARIABLES:
            [nearest] = difflib.get_close_matches(name, KNOWN_CHATAPP_VARIABLES, n=1, cutoff=0)
            raise SettingsError(name, f"there is no such setting; did you mean {nearest}?")


def _number(env: Mapping[str, str], variable: str, default: int, low: int, high: int) -> int:
    value = env.get(variable)
    if value is None:
        return default
    # int() alone would take "1_000", "+1" and other scripts' digits.
    if re.fullmatch(r"[0-9]{1,9}", value) and low <= int(value) <= high:
        return int(value)
    raise SettingsError(variable, f"{_shown(value)} is not a number from {low} to {high}")


def _host(env: Mapping[str, str]) -> str:
    value = env.get("HOST", "127.0.0.1")
    if "://" in value:
        raise SettingsError("HOST", f"{_shown(value)} is a URL; give the address alone, such as 0.0.0.0")
    if re.fullmatch(r"[^:]+:\d+", value):
        raise SettingsError("HOST", f"{_shown(value)} holds a port; give that in PORT")
    if not _HOST.fullmatch(value):
        raise SettingsError("HOST", f"{_shown(value)} is not a host name or an IP address")
    return value


def _split(variable: str, value: str) -> SplitResult:
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        raise SettingsError(variable, "not a URL that can be understood (host and port?)") from None
    if not value.isprintable() or " " in value:
        raise SettingsError(variable, "not a URL: it holds a space or a control character")
    return url


def _redis_url(env: Mapping[str, str]) -> str | None:
    value = env.get("REDIS_URL")
    if value is None:
        return None
    # The value is never shown: it may hold a password, wherever a slip of the hand has put it.
    scheme = value.partition("://")[0].lower() if "://" in value else ""
    if scheme not in _REDIS_SCHEMES:
        raise SettingsError("REDIS_URL", f"has to start with {', '.join(f'{s}://' for s in _REDIS_SCHEMES)}")
    if scheme in ("redis+sentinel", "redis+cluster"):
        _check_host_list(value)
        return value
    url = _split("REDIS_URL", value)
    if scheme == "unix":
        if not url.path.strip("/"):
            raise SettingsError("REDIS_URL", "names no socket; write unix:///path/to/redis.sock")
    elif not url.hostname:
        raise SettingsError("REDIS_URL", f"names no host; write {scheme}://host:6379/0")
    elif not re.fullmatch(r"/?|/[0-9]+/?", url.path):
        # redis-py would take the database 0.
        raise SettingsError("REDIS_URL", f"its database is no number; write {scheme}://host:6379/0")
    return value


def _check_host_list(value: str) -> None:
    """Refuse anything but `scheme://[user:password@]host[:port][,host[:port]…][/…]`."""
    rest = re.split(r"[/?#]", value.partition("://")[2], maxsplit=1)[0]
    for address in rest.rpartition("@")[2].split(","):
        if not _split("REDIS_URL", f"redis://{address}").hostname:
            raise SettingsError("REDIS_URL", "an address in its list of hosts is empty")


def _api_key(env: Mapping[str, str]) -> str | None:
    value = env.get("OPENAI_API_KEY")
    if value is not None and not re.fullmatch(r"[!-~]+", value):
        raise SettingsError("OPENAI_API_KEY", "holds a space or a character that no HTTP header can carry")
    return value


def _base_url(env: Mapping[str, str]) -> str | None:
    value = env.get("OPENAI_BASE_URL")
    if value is None:
        return None
    url = _split("OPENAI_BASE_URL", value)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise SettingsError("OPENAI_BASE_URL", "not an address such as https://host/v1")
    return value


def _models(env: Mapping[str, str], variable: str, *names: str | None) -> tuple[str, ...]:
    found = [name.strip() for name in names if name and name.strip()]
    if env.get(variable) and not found:
        raise SettingsError(variable, "names no model")
    for name in found:
        if len(name) > 200 or not name.isprintable() or any(char.isspace() for char in name):
            reason = "is not a model name (at most 200 printable characters, no spaces)"
            raise SettingsError(variable, f"{_shown(name)} {reason}")
    return tuple(dict.fromkeys(found))


def _choice(env: Mapping[str, str], variable: str, *choices: str) -> Any:
    """Return the variable's value, one of the choices; the first is the default."""
    value = env.get(variable, choices[0])
    if value not in choices:
        shown = ", ".join(map(repr, choices))
        raise SettingsError(variable, f"{_shown(value)} is none of {shown}")
    return value


def _resume(env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Read one strategy for all models, or `model=strategy` pairs."""
    rules = []
    for rule in filter(None, map(str.strip, env.get("CHATAPP_RESUME", "").split(","))):
        pattern, _, strategy = (part.strip() for part in rule.rpartition("="))
        if strategy not in _STRATEGIES or ("=" in rule and not pattern):
            reason = f"is neither one of {', '.join(_STRATEGIES)} nor model=strategy"
            raise SettingsError("CHATAPP_RESUME", f"{_shown(rule)} {reason}")
        rules.append((pattern or "*", strategy))
    return tuple(rules)


def _data_dir(env: Mapping[str, str]) -> Path:
    value = env.get("CHATAPP_DATA_DIR")
    if value is None:
        return platformdirs.user_data_path("chatapp")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise SettingsError("CHATAPP_DATA_DIR", f"{_shown(value)} names an unknown home folder") from None


def _allowed_hosts(env: Mapping[str, str]) -> tuple[str, ...]:
    hosts = [host.strip() for host in env.get("CHATAPP_ALLOWED_HOSTS", "").split(",") if host.strip()]
    for host in hosts:
        if not _ALLOWED_HOST.fullmatch(host):
            reason = "is not a host name such as chat.example.org or *.example.org"
            raise SettingsError("CHATAPP_ALLOWED_HOSTS", f"{_shown(host)} {reason}")
    return tuple(dict.fromkeys(hosts))
