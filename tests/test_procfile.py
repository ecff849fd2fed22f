"""The lines of the Procfile as a platform runs them: through a shell, configured by the environment alone."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import environment
from tests.support.client import person
from tests.support.processes import OURS, PREFIXES, ROOT, free_port
from tests.support.provider import ScriptedProvider
from tests.support.script import Script
from tests.support.sse import SSEClient

LINES = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines() if line.strip())
SCRIPT = Script(n=120, rate=150, kind="emoji")


class Platform:
    """Starts lines of the Procfile with one environment, as a PaaS does."""

    def __init__(self, folder: Path, env: dict[str, str], processes: ExitStack) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in OURS}
        kept = {name: value for name, value in kept.items() if not name.startswith(PREFIXES)}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        self._env = kept | env | {"HOST": "127.0.0.1", "PORT": str(self.port)}
        self._env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        self._folder = folder
        self._processes = processes

    def start(self, line: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                ["sh", "-c", LINES[line]],
                env=self._env,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.enter_context(killed(process))
        return process

    async def ready(self) -> None:
        async with asyncio.timeout(20):
            while True:
                with suppress(OSError, EOFError):
                    async with SSEClient.open(f"{self.url}/ready", timeout=2) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)


@contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave nothing behind, whatever the test did."""
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def terminate(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the whole group, as platforms send it: the shell may stand in between."""
    os.killpg(process.pid, signal.SIGTERM)


@pytest.fixture
def platform(redis_url: str, provider: ScriptedProvider, tmp_path: Path) -> Iterator[Platform]:
    with ExitStack() as processes:
        yield Platform(tmp_path, environment(redis_url, provider.base_url), processes)


@pytest.fixture
def external(redis_url: str, provider: ScriptedProvider, tmp_path: Path) -> Iterator[Platform]:
    env = environment(redis_url, provider.base_url) | {"CHATAPP_WORKERS": "external"}
    with ExitStack() as processes:
        yield Platform(tmp_path, env, processes)


def test_names_what_a_platform_looks_for() -> None:
    assert set(LINES) == {"web", "worker"}
    assert shutil.which("chatapp", path=str(Path(sys.executable).parent))


async def test_web_alone(platform: Platform) -> None:
    web = platform.start("web")
    await platform.ready()
    async with person(platform.url) as ann:
        begun = await ann.begin(SCRIPT.prompt)
        answer = await ann.follow(begun, cuts=[300, 200, 700])
        assert (answer.text, (await ann.message(begun))["text"]) == (SCRIPT.text, SCRIPT.text)
        # A viewer of a silent answer must not keep the process alive.
        async with ann.stream((await ann.begin("n=9 fault=hold")).events) as stream:
            await anext(aiter(stream.body()))
            terminate(web)
            await asyncio.to_thread(web.wait, 9)
    assert "Traceback" not in platform.log.read_text()


async def test_web_and_worker(external: Platform, provider: ScriptedProvider) -> None:
    web, worker = external.start("web"), external.start("worker")
    await external.ready()
    async with person(external.url) as ann:
        begun = await ann.begin(SCRIPT.prompt)
        assert (await ann.follow(begun)).text == SCRIPT.text
        long = await ann.begin("n=9 fault=stall@5")
        await provider.until(lambda: len(provider.calls) == 2)
        stopped = await ann.stop(long)
        await asyncio.wait_for(provider.calls[1].client_gone.wait(), 2)
        assert stopped["status"] == "stopped"
    for process in (worker, web):
        terminate(process)
        await asyncio.to_thread(process.wait, 9)
    assert "Traceback" not in external.log.read_text()


async def test_a_worker_that_comes_later(external: Platform, provider: ScriptedProvider) -> None:
    external.start("web")
    await external.ready()
    async with person(external.url) as ann:
        begun = await ann.begin(SCRIPT.prompt)
        assert (await ann.message(begun))["status"] == "queued"
        following = asyncio.create_task(ann.follow(begun))
        external.start("worker")
        assert (await following).text == SCRIPT.text
        assert len(provider.calls) == 1
