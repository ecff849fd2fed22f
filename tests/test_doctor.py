"""`chatapp doctor`, and what the start says of Redis: which promise is in force, and what is wrong."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from redis.asyncio import Redis

from chatapp.errors import SettingsError
from chatapp.storage import keys
from chatapp.storage.promise import Promise, read_promise
from tests.conftest import environment
from tests.support.processes import RedisProcess, ServerProcess, clean_environment, free_port
from tests.support.provider import ScriptedProvider

SECRET = "a long enough secret of the tests"


def doctor(env: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chatapp", "doctor", *options],
        env={**clean_environment(), **env},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


async def examined(env: Mapping[str, str], *options: str) -> tuple[int, dict[str, str]]:
    """Run the doctor beside the scripted provider of this loop; findings by verdict and subject."""
    done = await asyncio.to_thread(doctor, env, *options)
    assert done.stderr == ""
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        verdict, subject, words = line.split(maxsplit=2)
        found[f"{verdict} {subject}"] = found.get(f"{verdict} {subject}", "") + words
    return done.returncode, found


async def promise_of(*options: str) -> Promise:
    with RedisProcess(options=options) as server:
        async with Redis.from_url(server.url, legacy_responses=False) as client:
            return await read_promise(client)


class TestPromise:
    async def test_a_second_may_be_lost_and_is_sent_again(self) -> None:
        promise = await promise_of("--appendfsync", "everysec")
        assert "a living worker sends it again" in promise.words
        assert promise.warnings == ()

    async def test_always_on_disk(self) -> None:
        assert "on disk before it is shown" in (await promise_of("--appendfsync", "always")).words

    async def test_only_snapshots(self) -> None:
        promise = await promise_of("--appendonly", "no", "--save", "900 1")
        assert "since its last snapshot" in promise.words
        assert "no append-only file" in promise.warnings[0]

    async def test_nothing_kept(self) -> None:
        promise = await promise_of("--appendonly", "no", "--save", "")
        assert "loses every chat" in promise.words

    @pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
    async def test_eviction_is_warned_of(self, policy: str) -> None:
        promise = await promise_of("--maxmemory", "100mb", "--maxmemory-policy", policy)
        assert policy in promise.warnings[0]

    async def test_eviction_without_a_limit_never_happens(self) -> None:
        assert (await promise_of("--maxmemory-policy", "allkeys-lru")).warnings == ()

    async def test_few_connections_are_warned_of(self) -> None:
        promise = await promise_of("--maxclients", "5")
        assert "connections are free" in promise.warnings[0]
        # This one, and the six that a process needs.
        assert (await promise_of("--maxclients", "7")).warnings == ()
        assert "connections are free" in (await promise_of("--maxclients", "6")).warnings[0]

    async def test_a_replica_takes_no_writes(self) -> None:
        with pytest.raises(SettingsError, match="replica"):
            await promise_of("--replicaof", "127.0.0.1 1")

    async def test_without_config(self) -> None:
        """Managed services forbid CONFIG."""
        promise = await promise_of("--rename-command", "CONFIG", "")
        assert "it does not tell" in promise.words
        assert promise.warnings == ()


async def test_the_start_says_which_promise_is_in_force(redis_url: str, provider: ScriptedProvider) -> None:
    async with ServerProcess(env=environment(redis_url, provider.base_url)) as server:
        await server.wait_ready()
        assert "a living worker sends it again" in server.log


async def test_the_start_warns_loudly_of_eviction(provider: ScriptedProvider) -> None:
    with RedisProcess(options=("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")) as redis:
        async with ServerProcess(env=environment(redis.url, provider.base_url)) as server:
            await server.wait_ready()
            assert "WARNING" in server.log
            assert "set it to noeviction" in server.log


class TestDoctor:
    @pytest.fixture
    def env(self, redis_url: str, provider: ScriptedProvider) -> dict[str, str]:
        return environment(redis_url, provider.base_url) | {"SECRET_KEY": SECRET}

    async def test_all_is_well(self, env: dict[str, str]) -> None:
        code, found = await examined(env)
        assert code == 0
        assert not [name for name in found if not name.startswith("ok")]
        assert "answers after" in found["ok model"]
        assert "offers 1 models" in found["ok provider"]
        assert "a living worker" in found["ok promise"]

    async def test_it_asks_nothing_when_told_so(
        self, env: dict[str, str], provider: ScriptedProvider
    ) -> None:
        code, found = await examined(env, "--no-question")
        assert code == 0
        assert "ok model" not in found
        assert provider.calls == []

    async def test_redis_is_not_there(self, env: dict[str, str]) -> None:
        code, found = await examined(env | {"REDIS_URL": f"redis://:pa55@127.0.0.1:{free_port()}/0"})
        assert code == 1
        assert "cannot use Redis" in found["broken Redis"]
        assert "pa55" not in str(found)

    async def test_redis_is_too_old(self, env: dict[str, str]) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(1000):
                writer.write(b"-ERR unknown command 'HELLO'\r\n")
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            code, found = await examined(env | {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}, "--no-question")
        assert code == 1
        assert "too old; 6.2 or newer is needed" in found["broken Redis"]

    async def test_the_provider_is_not_there(self, env: dict[str, str]) -> None:
        code, found = await examined(env | {"OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"})
        assert code == 1
        assert "refused the connection" in found["broken provider"]

    async def test_the_model_is_unknown(self, env: dict[str, str]) -> None:
        code, found = await examined(env | {"OPENAI_MODEL": "no-such-model"})
        assert code == 0  # the scripted provider takes any name
        assert "not in the provider's list" in found["warning model"]

    async def test_no_worker_is_running(self, env: dict[str, str]) -> None:
        code, found = await examined(env | {"CHATAPP_WORKERS": "external"})
        assert code == 1
        assert "no `chatapp worker`" in found["broken workers"]

    async def test_a_worker_is_running(self, env: dict[str, str]) -> None:
        async with (
            ServerProcess(("worker",), env=env),
            Redis.from_url(env["REDIS_URL"], legacy_responses=False) as redis,
        ):
            async with asyncio.timeout(30):
                while not await redis.zcard(keys.WORKERS):
                    await asyncio.sleep(0.05)
            code, found = await examined(env | {"CHATAPP_WORKERS": "external"}, "--no-question")
        assert (code, found["ok workers"]) == (0, "1 waiting for work")

    async def test_without_anything_named(self, tmp_path: Path) -> None:
        code, found = await examined({"CHATAPP_DATA_DIR": str(tmp_path)})
        assert code == 0
        assert "demo model" in found["warning provider"]
        assert "one of its own" in found["ok Redis"]
