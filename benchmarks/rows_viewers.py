"""Rows about many viewers of one answer: e, f, g."""

import asyncio
import json
from statistics import median
from time import monotonic

from benchmarks.bench import Bench, Figures, Row
from benchmarks.client import fetch
from benchmarks.load import finish, start
from benchmarks.measure import cpu_seconds, redis_info
from benchmarks.systems import System
from benchmarks.viewers import Answer, Tally, Viewer
from benchmarks.wire import PARAGRAPH, WIDTH, Script, age, encode, now

__all__ = ("ROWS", "crowd")

_LONG = 20_000
_FAN_OUT_RATE = 25


async def crowd(port: int, answer: Answer, count: int, tally: Tally) -> list[Viewer]:
    """Connect viewers of one answer, a hundred at once."""
    viewers = [Viewer(port, answer, tally) for _ in range(count)]
    for begin in range(0, count, 100):
        await asyncio.gather(*(viewer.open() for viewer in viewers[begin : begin + 100]))
    return viewers


async def row_e(bench: Bench) -> None:
    """1 answer of 25 tokens/s, 1,000 viewers: the cost of a delivery."""
    seconds = 4 if bench.quick else 15

    async def measure(system: System) -> Figures:
        tally = Tally()
        tally.counting = False
        nchan = system.kind.name == "nchan"
        # Time for all viewers to come, then what is measured.
        script = Script(seconds * _FAN_OUT_RATE + (0 if nchan else 100), _FAN_OUT_RATE)
        answer = await system.begin(script)
        begun = monotonic()
        viewers = await crowd(system.port, answer, 1000, tally)
        if nchan:
            await asyncio.sleep(0.5)
        else:
            await _all_live(viewers, 15)
        joined = monotonic() - begun
        tally.counting, tally.tokens, tally.events = True, 0, 0
        cpu = cpu_seconds(system.processes)
        if nchan:
            await _publish(system.port, answer.path.partition("?")[2], script, viewers)
        else:
            await finish(viewers, seconds + 30)
        cpu = cpu_seconds(system.processes) - cpu
        faults = [fault for viewer in viewers for fault in viewer.faults]
        for viewer in viewers:
            viewer.cut()
        return {
            "us_per_delivery": cpu / max(tally.events, 1) * 1e6,
            "us_per_token": cpu / max(tally.tokens, 1) * 1e6,
            "p50_ms": tally.percentile(0.5),
            "p99_ms": tally.percentile(0.99),
            "exact": sum(viewer.tokens == script.n and not viewer.faults for viewer in viewers),
            "joined_s": joined,
            "faults": faults[:3],
        }

    await bench.compare("e", ("nchan", "chatapp"), measure, warm=False)


async def row_n(bench: Bench) -> None:
    """Growth: is the cost of a delivered token flat from 125 to 1,000 viewers of an answer?"""
    seconds = 3 if bench.quick else 8

    async def measure(system: System) -> Figures:
        steps = []
        for count in (125, 250, 500, 1000):
            tally = Tally()
            tally.counting = False
            answer = await system.begin(Script((seconds + 3) * _FAN_OUT_RATE, _FAN_OUT_RATE))
            viewers = await crowd(system.port, answer, count, tally)
            await _all_live(viewers, 15)
            tally.counting, tally.tokens, tally.events = True, 0, 0
            cpu = cpu_seconds(system.processes)
            await finish(viewers, seconds + 30)
            cpu = cpu_seconds(system.processes) - cpu
            exact = sum(viewer.exact((seconds + 3) * _FAN_OUT_RATE) for viewer in viewers)
            for viewer in viewers:
                viewer.cut()
            us = cpu / max(tally.tokens, 1) * 1e6
            steps.append({"viewers": count, "us": us, "p99_ms": tally.percentile(0.99), "exact": exact})
        return {
            "us_at_125": steps[0]["us"],
            "us_at_1000": steps[-1]["us"],
            "all_exact": all(step["exact"] == step["viewers"] for step in steps),
            "steps": steps,
        }

    await bench.compare("n", ("chatapp",), measure, rounds=1)


async def row_f(bench: Bench) -> None:
    """1,000 viewers cut off and back at once, in the middle of a 20,000-token answer."""

    async def measure(system: System) -> Figures:
        assert system.redis_port is not None
        figures: Figures = {}
        tally = Tally()
        tally.counting = False
        answer = await system.begin(Script(_LONG, 50, head=_LONG // 2))
        viewers = await crowd(system.port, answer, 300 if bench.quick else 1000, tally)
        for name, resume in (("resumed", True), ("from_nothing", False)):
            await _all_live(viewers, 30)
            idle = redis_info(system.redis_port).asked
            await asyncio.sleep(1)
            before = redis_info(system.redis_port)
            idle = before.asked - idle
            cpu = cpu_seconds(system.processes)
            begun = monotonic()
            for viewer in viewers:
                viewer.cut()
            await asyncio.gather(*(viewer.open(resume=resume) for viewer in viewers))
            await _all_live(viewers, 60)
            taken = monotonic() - begun
            after = redis_info(system.redis_port)
            faults = [fault for viewer in viewers for fault in viewer.faults]
            figures |= {
                f"{name}_s": taken,
                f"{name}_cpu_s": cpu_seconds(system.processes) - cpu,
                # Writing and reading the answer goes on meanwhile, and who looks after it.
                f"{name}_redis_commands": after.commands - before.commands,
                f"{name}_without_the_answer": round(after.asked - before.asked - idle * taken),
                f"{name}_exact": sum(not viewer.faults and viewer.tokens > _LONG // 2 for viewer in viewers),
                f"{name}_faults": faults[:3],
            }
        for viewer in viewers:
            viewer.cut()
        return figures | {"viewers": len(viewers)}

    await bench.compare("f", ("chatapp",), measure, rounds=1 if bench.quick else None)


async def row_g(bench: Bench) -> None:
    """Joining a finished 20,000-token answer, against a plain GET of the saved message."""

    async def measure(system: System) -> Figures:
        answer, viewer = await start(system, Script(_LONG, 50, head=_LONG), Tally())
        await finish([viewer], 60)
        if not viewer.exact(_LONG):
            raise RuntimeError(f"the answer is not exact: {viewer.faults[:3]}")
        message = answer.path.removesuffix("/events")
        # A paragraph begins with two line ends in place of a space.
        size = _LONG * WIDTH + (_LONG - 1) // PARAGRAPH
        joins = {"cold": 1 if bench.quick else 3, "warm": 20}
        figures: Figures = {}
        for name, times in joins.items():
            got: dict[str, list[float]] = {"get": [], "first_byte": [], "first_text": [], "whole": []}
            for _ in range(times):
                if name == "cold":
                    # Longer than any server keeps an answer in memory for viewers that come back.
                    await asyncio.sleep(6)
                begun = monotonic()
                viewer = Viewer(system.port, answer, Tally())
                await viewer.open()
                await finish([viewer], 20)
                got["whole"].append(monotonic() - begun)
                got["first_byte"].append(viewer.first_byte_at - begun)
                got["first_text"].append(viewer.first_token_at - begun)
                begun = monotonic()
                response = await fetch(system.port, "GET", message, answer.headers)
                got["get"].append(response.first_byte - begun)
                if len(json.loads(response.body)["text"]) != size or not viewer.exact(_LONG):
                    raise RuntimeError("a join was not exact")
            figures |= {f"{name}_{what}_ms": median(times) * 1000 for what, times in got.items()}
        return figures

    await bench.compare("g", ("chatapp",), measure, rounds=1)


async def _all_live(viewers: list[Viewer], seconds: float) -> None:
    """Wait until every viewer has a token that was sent after this call began."""
    marker, deadline = now(), monotonic() + seconds
    waiting = [viewer for viewer in viewers if not viewer.ended.done()]
    while waiting:
        if monotonic() > deadline:
            raise RuntimeError(f"{len(waiting)} of {len(viewers)} viewers are not live after {seconds} s")
        await asyncio.sleep(0.002)
        waiting = [v for v in waiting if not v.tokens or age(marker, v.newest_sent) > 30_000_000]


async def _publish(port: int, query: str, script: Script, viewers: list[Viewer]) -> None:
    begun = monotonic()
    for index in range(script.n):
        await asyncio.sleep(max(0.0, begun + index / script.rate - monotonic()))
        # As JSON already: `encode` writes what stands between the quotes.
        body = f'{{"text":"{encode(index, now())}"}}'.encode()
        await fetch(port, "POST", f"/publish?{query}", {"Content-Type": "application/json"}, body)
    for _ in range(500):
        if all(viewer.tokens >= script.n for viewer in viewers):
            return
        await asyncio.sleep(0.01)


ROWS: dict[str, Row] = {"e": row_e, "f": row_f, "g": row_g, "n": row_n}
