"""The load that most rows share: answers, a viewer each, all of it measured."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic

from benchmarks.measure import cpu_seconds, redis_info
from benchmarks.systems import System
from benchmarks.viewers import Answer, Tally, Viewer
from benchmarks.wire import Script

__all__ = ("Load", "finish", "start", "token_load", "until", "warm_up")


@dataclass(frozen=True)
class Load:
    """What a load cost, and how old its tokens were when they arrived."""

    answers: int
    exact: int
    tokens: int
    events: int
    us_per_token: float
    redis_us_per_token: float
    redis_commands_per_token: float
    p50_ms: float
    p99_ms: float
    max_first_ms: float
    faults: list[str]

    def as_dict(self) -> dict[str, object]:
        """Return it for the results file."""
        return asdict(self)


async def start(system: System, script: Script, tally: Tally) -> tuple[Answer, Viewer]:
    """Start an answer with a viewer."""
    answer = await system.begin(script)
    viewer = Viewer(system.port, answer, tally)
    await viewer.open()
    return answer, viewer


async def finish(viewers: list[Viewer], seconds: float) -> None:
    """Wait until all have ended, or the time is up."""
    await asyncio.wait([viewer.ended for viewer in viewers], timeout=seconds)


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds, or the time is up."""
    for _ in range(int(seconds * 50)):
        if condition():
            return
        await asyncio.sleep(0.02)


async def warm_up(system: System) -> None:
    """Let imports, pools and JITs do their first work before anything is counted."""
    tally = Tally()
    started = await asyncio.gather(*(start(system, Script(100, 200), tally) for _ in range(4)))
    await finish([viewer for _, viewer in started], 15)


async def token_load(
    system: System, answers: int, script: Script, *, ramp: float = 1.0, skip_start: bool = False
) -> Load:
    """Run answers with a viewer each, begun evenly over `ramp` seconds.

    With `skip_start`, tokens count for the ages only once all answers have begun.
    """
    tally = Tally()
    tally.counting = not skip_start

    async def one(number: int) -> Viewer:
        await asyncio.sleep(ramp * number / answers)
        begun = monotonic()
        _, viewer = await start(system, script, tally)
        viewer.begun_at = begun
        return viewer

    commands = redis_info(system.redis_port).commands if system.redis_port else 0
    redis_cpu = cpu_seconds([system.redis]) if system.redis else 0.0
    cpu = cpu_seconds(system.processes)
    viewers = await asyncio.gather(*(one(number) for number in range(answers)))
    tally.counting = True
    await finish(viewers, ramp + script.n / script.rate * 2 + 30)
    cpu = cpu_seconds(system.processes) - cpu
    redis_cpu = (cpu_seconds([system.redis]) - redis_cpu) if system.redis else 0.0
    commands = (redis_info(system.redis_port).commands - commands) if system.redis_port else 0
    first = [viewer.first_token_at - viewer.begun_at for viewer in viewers if viewer.first_token_at]
    for viewer in viewers:
        viewer.cut()
    tokens = max(tally.tokens, 1)
    return Load(
        answers,
        sum(viewer.exact(script.n) for viewer in viewers),
        tally.tokens,
        tally.events,
        cpu / tokens * 1e6,
        redis_cpu / tokens * 1e6,
        commands / tokens,
        tally.percentile(0.5),
        tally.percentile(0.99),
        max(first, default=0.0) * 1000,
        [fault for viewer in viewers for fault in viewer.faults][:5],
    )
