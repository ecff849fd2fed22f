"""The real commands: a wrong setting is one line that names its variable, never a traceback or a secret."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatapp import __version__
from tests.conftest import environment
from tests.support.client import person
from tests.support.processes import OURS, PREFIXES, RedisProcess, ServerProcess, free_port
from tests.support.provider import ScriptedProvider
from tests.support.script import Script

PASSWORD = "pa55word-of-redis"
SECRET = "a-secret-key-of-the-tests"
EVERY = ("", "web", "worker")
WEB = ("", "web")
NOBODY = f"redis://user:{PASSWORD}@127.0.0.1:1/0"

#: Commands, environment, and the variable that the one line has to name; {redis} is a Redis that answers.
WRONG: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "redis-unreachable": (EVERY, {"REDIS_URL": NOBODY}, "REDIS_URL"),
    "redis-no-scheme": (EVERY, {"REDIS_URL": f"{PASSWORD}@127.0.0.1"}, "REDIS_URL"),
    "redis-wrong-scheme": (EVERY, {"REDIS_URL": f"https://:{PASSWORD}@127.0.0.1"}, "REDIS_URL"),
    "redis-wrong-port": (EVERY, {"REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:port"}, "REDIS_URL"),
    "redis-no-socket": (EVERY, {"REDIS_URL": f"unix://:{PASSWORD}@/nowhere/redis.sock"}, "REDIS_URL"),
    "redis-no-database": (EVERY, {"REDIS_URL": "{redis}99"}, "REDIS_URL"),
    "redis-unknown-option": (EVERY, {"REDIS_URL": "{redis}?nonsense=1"}, "REDIS_URL"),
    "redis-wrong-option": (EVERY, {"REDIS_URL": "{redis}?max_connections=many"}, "REDIS_URL"),
    "redis-cluster": (EVERY, {"REDIS_URL": f"redis+cluster://:{PASSWORD}@127.0.0.1:1"}, "REDIS_URL"),
    "redis-ipv6": (EVERY, {"REDIS_URL": f"redis://:{PASSWORD}@[::1]:1/0"}, "REDIS_URL"),
    "worker-without-redis": (("worker",), {"REDIS_URL": ""}, "REDIS_URL"),
    "no-secret": (EVERY, {"SECRET_KEY": ""}, "SECRET_KEY"),
    "port-no-number": (EVERY, {"PORT": "abc"}, "PORT"),
    "port-too-high": (EVERY, {"PORT": "65536"}, "PORT"),
    "port-in-use": (WEB, {"PORT": "{used}"}, "PORT"),
    "port-in-use-by-two": (WEB, {"PORT": "{used}", "WEB_CONCURRENCY": "2"}, "PORT"),
    "port-in-use-embedded": (WEB, {"PORT": "{used}", "REDIS_URL": "", "SECRET_KEY": ""}, "PORT"),
    "host-url": (EVERY, {"HOST": "http://127.0.0.1"}, "HOST"),
    "host-unknown": (WEB, {"HOST": "no-such-host.invalid"}, "HOST"),
    "host-of-somebody-else": (WEB, {"HOST": "192.0.2.1"}, "HOST"),
    "concurrency-zero": (EVERY, {"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY"),
    "concurrency-no-number": (EVERY, {"WEB_CONCURRENCY": "auto"}, "WEB_CONCURRENCY"),
    "two-without-redis": (WEB, {"REDIS_URL": NOBODY, "WEB_CONCURRENCY": "2"}, "REDIS_URL"),
    "base-url": (EVERY, {"OPENAI_BASE_URL": "localhost:11434"}, "OPENAI_BASE_URL"),
    "api-key": (EVERY, {"OPENAI_API_KEY": "sk-secret key"}, "OPENAI_API_KEY"),
    "workers": (EVERY, {"CHATAPP_WORKERS": "many"}, "CHATAPP_WORKERS"),
    "typo": (EVERY, {"CHATAPP_WORKER": "external"}, "CHATAPP_WORKER"),
    "data-dir-is-a-file": (WEB, {"CHATAPP_DATA_DIR": __file__, "REDIS_URL": ""}, "CHATAPP_DATA_DIR"),
    "data-dir-cannot-be-made": (
        WEB,
        {"CHATAPP_DATA_DIR": "/proc/chatapp", "REDIS_URL": ""},
        "CHATAPP_DATA_DIR",
    ),
}
CASES = [
    pytest.param(command, env, variable, id=f"{name}-{command or 'chatapp'}")
    for name, (commands, env, variable) in WRONG.items()
    for command in commands
]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisProcess]:
    with RedisProcess() as server:
        yield server


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        yield port


def run(command: str, env: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the installed `chatapp` to its end."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in OURS and not name.startswith(PREFIXES)
    }
    ours = {"HOST": "127.0.0.1", "PORT": str(free_port()), "CHATAPP_DATA_DIR": str(folder / "data")}
    program = Path(sys.executable).with_name("chatapp")
    return subprocess.run(
        [program, *command.split()],
        env=kept | ours | dict(env),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def refusal(done: subprocess.CompletedProcess[str], variable: str) -> str:
    """The one line of a start that was refused."""
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done.stderr
    assert lines[0].startswith(f"chatapp: {variable}: ")
    assert not re.search(f"{PASSWORD}|{SECRET}|sk-secret|Traceback", done.stderr)
    return lines[0]


@pytest.mark.parametrize(("command", "env", "variable"), CASES)
def test_a_wrong_setting(
    redis: RedisProcess, tmp_path: Path, command: str, env: dict[str, str], variable: str
) -> None:
    right = {"REDIS_URL": redis.url, "SECRET_KEY": SECRET}
    with taken_port() as used:
        values = {"redis": redis.url.removesuffix("0"), "used": used}
        env = right | {name: value.format(**values) for name, value in env.items()}
        refusal(run(command, env, tmp_path), variable)


def test_says_what_is_not_supported(tmp_path: Path) -> None:
    env = {"REDIS_URL": "redis+cluster://127.0.0.1:1", "SECRET_KEY": SECRET}
    assert "redis+cluster:// is not supported" in refusal(run("web", env, tmp_path), "REDIS_URL")


def test_a_wrong_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"WEB_CONCURRENCY=abc\nSECRET_KEY={SECRET}\n")
    assert "not a number" in refusal(run("web", {}, tmp_path), "WEB_CONCURRENCY")


def test_a_wrong_option(tmp_path: Path) -> None:
    refusal(run("web --port abc", {}, tmp_path), "PORT")
    refusal(run("web --host http://x", {}, tmp_path), "HOST")
    unknown = run("wed", {}, tmp_path)
    assert (unknown.returncode, "No such command" in unknown.stderr) == (2, True)


def test_help_and_version(tmp_path: Path) -> None:
    shown, version = run("--help", {}, tmp_path), run("--version", {}, tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.findall(r"^  (web|worker) ", shown.stdout, re.MULTILINE) == ["web", "worker"]
    assert (version.returncode, version.stdout) == (0, f"chatapp, version {__version__}\n")


async def test_a_data_folder_in_use(tmp_path: Path) -> None:
    async with ServerProcess(data_dir=tmp_path) as first:
        await first.wait_ready()
        second = await asyncio.to_thread(run, "web", {"CHATAPP_DATA_DIR": str(tmp_path)}, tmp_path)
        refusal(second, "CHATAPP_DATA_DIR")
        await first.wait_ready()


async def test_a_port_is_given_back(redis: RedisProcess, provider: ScriptedProvider) -> None:
    async with ServerProcess(env=environment(redis.url, provider.base_url)) as server:
        await server.wait_ready()
        await server.restart()
        await server.wait_ready()
        assert server.log.count("chatapp: http://127.0.0.1:") == 2
        assert "Traceback" not in server.log


async def test_two_processes(redis: RedisProcess, provider: ScriptedProvider) -> None:
    script = Script(n=150, rate=150, kind="emoji")
    env = environment(redis.url, provider.base_url) | {"WEB_CONCURRENCY": "2"}
    async with ServerProcess(env=env) as server:
        await server.wait_ready()
        # One of the two may still be starting.
        async with asyncio.timeout(20):
            while server.log.count("Application startup complete") < 2:
                await asyncio.sleep(0.05)
        async with person(server.url) as ann:
            begun = [await ann.begin(script.prompt) for _ in range(4)]
            cuts = [300, 700, 200, 900]
            answers = await asyncio.gather(*[ann.follow(one, cuts=cuts) for one in begun for _ in range(8)])
            messages = [await ann.message(one) for one in begun]
        code = await server.terminate()
    assert {answer.text for answer in answers} == {script.text}
    assert {message["text"] for message in messages} == {script.text}
    assert len(provider.calls) == 4
    assert (code, "Traceback" in server.log) == (0, False)


@pytest.mark.parametrize("command", ["web", "worker"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_ends_when_told(
    redis: RedisProcess, provider: ScriptedProvider, command: str, number: signal.Signals
) -> None:
    async with ServerProcess([command], environment(redis.url, provider.base_url)) as server:
        if command == "web":
            await server.wait_ready()
        else:
            async with asyncio.timeout(20):
                while "waits for answers" not in server.log:
                    await asyncio.sleep(0.05)
        server.signal(number)
        assert await server.exited(8) == 0
        assert "Traceback" not in server.log
