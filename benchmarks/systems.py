"""The systems that are compared: how each is started, and how a reader follows an answer of it."""

import json
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from benchmarks.client import fetch
from benchmarks.formats import FORMATS
from benchmarks.processes import ROOT, free_port, process, redis
from benchmarks.viewers import Answer
from benchmarks.wire import Script

__all__ = ("SYSTEMS", "Kind", "System", "running")

PEERS = ROOT / "benchmarks" / "peers"
VENV_PYTHON = ROOT / "benchmarks" / ".venv" / "bin" / "python"
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class System:
    """A system that runs: its port, and the processes whose cost is counted."""

    kind: "Kind"
    port: int
    server: int
    redis_port: int | None
    redis: int | None
    #: Seconds from the program's start until it was ready.
    started_in: float

    @property
    def processes(self) -> list[int]:
        """All server processes, Redis included."""
        return [self.server] if self.redis is None else [self.server, self.redis]

    async def begin(self, script: Script) -> Answer:
        """Start an answer, or prepare the request that starts and streams it in one."""
        return await self.kind.begin(self, script)


@dataclass(frozen=True)
class Kind:
    """What is known of a system before it runs; {port}, {redis} and {provider} are filled in then."""

    name: str
    command: Sequence[str]
    begin: Callable[[System, Script], Awaitable[Answer]]
    env: Mapping[str, str]
    with_redis: bool = True
    ready: str | None = None
    missing: Callable[[], str | None] = lambda: None


@asynccontextmanager
async def running(kind: Kind, provider_port: int) -> AsyncIterator[System]:
    """Start a system beside a Redis of its own, and end both."""
    async with AsyncExitStack() as stack:
        redis_port, redis_pid = await stack.enter_async_context(redis()) if kind.with_redis else (None, None)
        port = free_port()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        values = {
            "port": str(port),
            "redis": f"redis://127.0.0.1:{redis_port}/0",
            "provider": f"http://127.0.0.1:{provider_port}/v1",
            "folder": str(folder),
        }
        if kind.name == "nchan":
            template = (PEERS / "nchan" / "nginx.conf").read_text()
            for name, value in values.items():
                template = template.replace(f"@{name}@", value)
            (folder / "nginx.conf").write_text(template)
        begun = monotonic()
        server = await stack.enter_async_context(
            process(
                [part.format(**values) for part in kind.command],
                port=port,
                ready=kind.ready,
                env={name: value.format(**values) for name, value in kind.env.items()},
            )
        )
        yield System(kind, port, server, redis_port, redis_pid, monotonic() - begun)


async def _begin_ours(system: System, script: Script, *, page: bool = False) -> Answer:
    body = json.dumps({"prompt": str(script)}).encode()
    response = await fetch(system.port, "POST", "/api/chats", _JSON, body)
    if response.status != 201:
        raise RuntimeError(f"status {response.status}: {response.body[:300]!r}")
    begun = json.loads(response.body)
    cookie = {"Cookie": response.headers["set-cookie"].partition(";")[0]}
    if page:
        path = f"/chats/{begun['chat_id']}/messages/{begun['message_id']}/stream"
        return Answer(path, FORMATS["ours-html"], cookie)
    return Answer(begun["events_url"], FORMATS["ours"], cookie)


async def _begin_ours_html(system: System, script: Script) -> Answer:
    return await _begin_ours(system, script, page=True)


async def _begin_fastapi(system: System, script: Script) -> Answer:
    response = await fetch(system.port, "POST", "/chats", _JSON, json.dumps({"prompt": str(script)}).encode())
    if response.status != 200:
        raise RuntimeError(f"status {response.status}: {response.body[:300]!r}")
    return Answer(f"/chats/{json.loads(response.body)['id']}/stream", FORMATS["plain"])


async def _begin_ai_sdk(system: System, script: Script) -> Answer:  # noqa: ARG001  # one signature for all systems
    message = {"id": secrets.token_hex(8), "role": "user", "parts": [{"type": "text", "text": str(script)}]}
    body = json.dumps({"id": secrets.token_hex(8), "message": message}).encode()
    return Answer("/api/chat", FORMATS["ai-sdk"], _JSON, "POST", body)


async def _begin_relay(system: System, script: Script) -> Answer:  # noqa: ARG001  # one signature for all systems
    body = json.dumps({"prompt": str(script)}).encode()
    return Answer("/chat", FORMATS["plain"], _JSON, "POST", body)


async def _begin_nchan(system: System, script: Script) -> Answer:  # noqa: ARG001  # one signature for all systems
    return Answer(f"/subscribe?id={secrets.token_hex(8)}", FORMATS["plain"], {"Accept": "text/event-stream"})


def _needs(path: Path, what: str) -> Callable[[], str | None]:
    return lambda: None if path.exists() else f"{what}: run benchmarks/install.sh"


_OUR_ENV = {
    "REDIS_URL": "{redis}",
    "SECRET_KEY": "benchmark",
    "OPENAI_BASE_URL": "{provider}",
    "OPENAI_MODEL": "bench",
    "OPENAI_API_KEY": "x",
    "PORT": "{port}",
    "HOST": "127.0.0.1",
    "CHATAPP_DATA_DIR": "{folder}",
    # No peer has the model name its chats: another call of the provider for each.
    "CHATAPP_TITLES": "words",
}
_PEER_ENV = {
    "REDIS_URL": "{redis}",
    "OPENAI_BASE_URL": "{provider}",
    "OPENAI_API_KEY": "x",
    "PORT": "{port}",
    "NODE_ENV": "production",
}
_UVICORN = ("--port", "{port}", "--log-level", "warning")
_OUR_COMMAND = (sys.executable, "-m", "chatapp")

SYSTEMS = {
    kind.name: kind
    for kind in (
        Kind("chatapp", _OUR_COMMAND, _begin_ours, _OUR_ENV, ready="/ready"),
        Kind("chatapp-html", _OUR_COMMAND, _begin_ours_html, _OUR_ENV, ready="/ready"),
        Kind(
            "fastapi",
            (str(VENV_PYTHON), "-m", "uvicorn", "fastapi_naive:app", "--app-dir", str(PEERS), *_UVICORN),
            _begin_fastapi,
            _PEER_ENV,
            missing=_needs(VENV_PYTHON, "the FastAPI peer is not installed"),
        ),
        Kind(
            "ai-sdk",
            (shutil.which("node") or "node", str(PEERS / "ai_sdk" / "server.mjs")),
            _begin_ai_sdk,
            _PEER_ENV,
            missing=_needs(PEERS / "ai_sdk" / "node_modules", "the AI SDK peer is not installed"),
        ),
        Kind(
            "relay",
            (sys.executable, "-m", "benchmarks.peers.relay"),
            _begin_relay,
            _PEER_ENV,
            with_redis=False,
        ),
        Kind(
            "nchan",
            (shutil.which("nginx") or "/usr/sbin/nginx", "-c", "{folder}/nginx.conf", "-p", "{folder}"),
            _begin_nchan,
            {},
            with_redis=False,
            missing=_needs(
                Path("/usr/lib/nginx/modules/ngx_nchan_module.so"), "nginx with Nchan is not installed"
            ),
        ),
    )
}
