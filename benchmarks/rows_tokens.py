"""Rows about the cost and the age of a token: a, b, c, d, j, k, m."""

import asyncio
from statistics import median
from time import monotonic

from benchmarks.bench import Bench, Figures, Measure, Row
from benchmarks.load import finish, start, token_load, until
from benchmarks.measure import redis_command, redis_info
from benchmarks.monitor import monitored
from benchmarks.systems import System
from benchmarks.viewers import Tally, Viewer
from benchmarks.wire import Script

__all__ = ("ROWS",)

_RATE = 50
_ALL = ("relay", "chatapp", "fastapi", "ai-sdk")
_STEPS = (25, 50, 100, 150, 200, 300, 400, 600, 800)
_LATE_MS = 100

#: Deletes every key that would expire by itself: what is left is what the system keeps.
_EXPIRE = """
local cursor, count = '0', 0
repeat
  local page = redis.call('SCAN', cursor, 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    if redis.call('PTTL', key) > 0 then count = count + redis.call('DEL', key) end
  end
until cursor == '0'
return count
"""


async def row_a(bench: Bench) -> None:
    """100 answers of 500 tokens, 50 tokens/s each, a viewer each."""
    await bench.compare("a", _ALL, _load(bench, 100))


async def row_b(bench: Bench) -> None:
    """10 answers of 500 tokens."""
    await bench.compare("b", _ALL, _load(bench, 10))


async def row_c(bench: Bench) -> None:
    """100 answers of 500 tokens: the page's HTML events against JSON events."""
    await bench.compare("c", ("chatapp", "chatapp-html"), _load(bench, 100))


async def row_d(bench: Bench) -> None:
    """The highest rate at which p99 stays at or below 100 ms."""

    async def measure(system: System) -> Figures:
        steps: list[Figures] = []
        best, failed = 0, 0
        # A step that fails is tried once more: it may have been the machine.
        for answers in sorted(_STEPS + _STEPS):
            if answers == best:
                continue
            script = Script(150 if bench.quick else 250, _RATE)
            load = await token_load(system, answers, script, ramp=answers / 100, skip_start=True)
            steps.append(
                {"answers": answers, "p99_ms": load.p99_ms, "exact": load.exact, "us": load.us_per_token}
            )
            if load.p99_ms <= _LATE_MS and load.exact == answers:
                best = answers
            elif failed == answers:
                break
            else:
                failed = answers
        return {"tokens_per_second": best * _RATE, "steps": steps}

    await bench.compare("d", _ALL, measure, rounds=1, limit=240)


async def row_j(bench: Bench) -> None:
    """Redis memory of 100 answers: while they run, at their end, when all has expired; commands per token."""

    def of(tokens: int, prefix: str = "") -> Measure:
        async def measure(system: System) -> Figures:
            assert system.redis_port is not None
            # Once beforehand too: the script itself takes memory.
            redis_command(system.redis_port, "EVAL", _EXPIRE, "0")
            before = redis_info(system.redis_port)
            tally, script = Tally(), Script(tokens, _RATE)

            async def one(number: int) -> Viewer:
                await asyncio.sleep(number / 100)
                return (await start(system, script, tally))[1]

            viewers = await asyncio.gather(*(one(number) for number in range(100)))
            await until(lambda: max(viewer.tokens for viewer in viewers) >= tokens - 10, tokens / _RATE)
            # None of them has ended, the youngest lacks a second.
            arrived, during = tally.tokens, redis_info(system.redis_port)
            await finish(viewers, tokens / _RATE + 30)
            after = redis_info(system.redis_port)
            redis_command(system.redis_port, "EVAL", _EXPIRE, "0")
            kept = redis_info(system.redis_port)
            figures = {
                "running_bytes_per_token": (during.memory - before.memory) / arrived,
                "bytes_per_token": (after.memory - before.memory) / tally.tokens,
                "kept_bytes_per_token": (kept.memory - before.memory) / tally.tokens,
                "commands_per_token": (after.commands - before.commands) / tally.tokens,
                "exact": sum(viewer.exact(tokens) for viewer in viewers),
            }
            return {prefix + name: figure for name, figure in figures.items()}

        return measure

    async def sent(system: System) -> Figures:
        # By itself: MONITOR takes some of Redis' time.
        assert system.redis_port is not None
        async with monitored(system.redis_port) as commands:
            load = await token_load(system, 100, Script(bench.tokens, _RATE))
        return {
            "sent_per_token": commands.sent / load.tokens,
            "sent_and_in_scripts_per_token": (commands.sent + commands.in_scripts) / load.tokens,
            "info_while_counted_per_token": load.redis_commands_per_token,
        }

    await bench.compare("j", ("chatapp", "fastapi", "ai-sdk"), of(bench.tokens), rounds=1)
    await bench.compare("j", ("chatapp", "fastapi", "ai-sdk"), sent, rounds=1)
    await bench.compare("j", ("chatapp",), of(4 * bench.tokens, "long_"), rounds=1)


async def row_k(bench: Bench) -> None:
    """Time from the question to the first token, of which the provider takes next to nothing."""

    async def probe(system: System, times: int) -> list[float]:
        taken = []
        for _ in range(times):
            begun = monotonic()
            _, viewer = await start(system, Script(3, _RATE), Tally())
            await finish([viewer], 20)
            taken.append((viewer.first_token_at - begun) * 1000)
        return sorted(taken)

    async def measure(system: System) -> Figures:
        alone = await probe(system, 20 if bench.quick else 50)
        # So long that there are some two hundred questions beside it: of 40 the slowest is no p99.
        script = Script(200 if bench.quick else 1000, _RATE)
        background = asyncio.create_task(token_load(system, 100, script, ramp=1))
        await asyncio.sleep(1.5)
        ends = monotonic() + script.n / script.rate - 1.5
        loaded: list[float] = []
        while not background.done() and monotonic() < ends:
            loaded += await probe(system, 1)
        loaded.sort()
        load = await background
        return {
            "alone_ms": median(alone),
            "alone_max_ms": alone[-1],
            "loaded_ms": median(loaded or [0.0]),
            "loaded_p99_ms": loaded[int(len(loaded) * 0.99)] if loaded else 0.0,
            "loaded_max_ms": max(loaded, default=0.0),
            "questions": len(loaded),
            "exact": load.exact,
        }

    await bench.compare("k", _ALL, measure, rounds=1)


async def row_m(bench: Bench) -> None:
    """Growth: is the cost of a token flat from 25 to 200 answers?"""

    async def measure(system: System) -> Figures:
        steps = []
        for answers in (25, 50, 100, 200):
            load = await token_load(system, answers, Script(bench.tokens, _RATE), ramp=answers / 100)
            steps.append(
                {"answers": answers, "us": load.us_per_token, "p99_ms": load.p99_ms, "exact": load.exact}
            )
        return {
            "us_at_25": steps[0]["us"],
            "us_at_200": steps[-1]["us"],
            "all_exact": all(step["exact"] == step["answers"] for step in steps),
            "steps": steps,
        }

    await bench.compare("m", ("relay", "chatapp"), measure, rounds=1)


def _load(bench: Bench, answers: int) -> Measure:
    async def measure(system: System) -> Figures:
        return (await token_load(system, answers, Script(bench.tokens, _RATE))).as_dict()

    return measure


ROWS: dict[str, Row] = {
    "a": row_a,
    "b": row_b,
    "c": row_c,
    "d": row_d,
    "j": row_j,
    "k": row_k,
    "m": row_m,
}
