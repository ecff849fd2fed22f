"""Rows about what a system holds and how quickly it serves the rest: h, i, s (soak), l."""

import asyncio
import json
from statistics import linear_regression, median
from time import monotonic

from benchmarks.bench import Bench, Figures, Measure, Row
from benchmarks.client import fetch
from benchmarks.load import finish, start, until
from benchmarks.measure import cpu_seconds, memory_kib, redis_info
from benchmarks.rows_viewers import crowd
from benchmarks.systems import System
from benchmarks.viewers import Answer, Tally, Viewer
from benchmarks.wire import WIDTH, Script

__all__ = ("ROWS",)

_PEERS = ("chatapp", "fastapi")
#: Answers that run on without doing much.
_SLOW = Script(2000, 0.5)
_SILENT = Script(2000, 0.05)
_TURNS = 25
#: Tokens of an answer, how many come in a second, and of how many answers at once: an ordinary one of 4.5 kB,
#: a long one of 18 kB, one of 100 kB (quicker than any model, so that a minute is enough).
_LONGEST = 11_000
_LENGTHS = ((500, 50, 100), (2000, 100, 100), (_LONGEST, 250, 40))
#: Seconds after which memory that nothing uses has been given back.
_SETTLED = 12


async def row_h(bench: Bench) -> None:
    """Redis connections from 1 to 2,000 viewers and 500 running answers."""

    async def measure(system: System) -> Figures:
        assert system.redis_port is not None
        answers: list[Answer] = []
        viewers: list[Viewer] = []
        steps = []
        for count in (1, 10, 100, 500, 1000, 2000):
            while len(answers) < min(count, 500):
                answers += await asyncio.gather(
                    *(system.begin(_SLOW) for _ in range(min(25, min(count, 500) - len(answers))))
                )
            numbers = range(len(viewers), count)
            new = [Viewer(system.port, answers[n % len(answers)], Tally()) for n in numbers]
            for begin in range(0, len(new), 50):
                await asyncio.gather(*(viewer.open() for viewer in new[begin : begin + 50]))
            viewers += new
            most = reading = 0
            for _ in range(100):
                await asyncio.sleep(0.2)
                most = max(most, redis_info(system.redis_port).connections)
                reading = sum(viewer.tokens > 0 for viewer in viewers)
                if reading == count:
                    break
            steps.append({"viewers": count, "answers": len(answers), "connections": most, "reading": reading})
        faults = [fault for viewer in viewers for fault in viewer.faults]
        for viewer in viewers:
            viewer.cut()
        return {
            "at_1": steps[0]["connections"],
            "at_2000": steps[-1]["connections"],
            "reading_of_2000": steps[-1]["reading"],
            "steps": steps,
            "faults": faults[:3],
        }

    await bench.compare("h", ("chatapp",), measure, rounds=1, limit=240)


async def row_i(bench: Bench) -> None:
    """Memory of an idle viewer, and of a running answer."""
    count = 300 if bench.quick else 1000

    async def of_viewers(system: System) -> Figures:
        base = memory_kib([system.server])
        viewers = await crowd(system.port, await system.begin(_SILENT), count, Tally())
        await asyncio.sleep(3)
        figures = {
            "idle_mib": base / 1024,
            "kib_per_viewer": (memory_kib([system.server]) - base) / count,
            "viewers_reading": sum(viewer.tokens > 0 for viewer in viewers),
        }
        for viewer in viewers:
            viewer.cut()
        return figures

    async def of_answers(system: System) -> Figures:
        base = memory_kib([system.server])
        begun = 0
        while begun < count // 2:
            begun += len(await asyncio.gather(*(system.begin(_SLOW) for _ in range(25))))
        await asyncio.sleep(3)
        return {"kib_per_answer": (memory_kib([system.server]) - base) / begun}

    def of_text(tokens: int, answers: int, script: Script, name: str) -> Measure:
        # Answers that go on, each with a viewer: what does the process hold for a byte of their text?
        async def measure(system: System) -> Figures:
            tally = Tally()
            base = memory_kib([system.server])
            viewers = [(await start(system, script, tally))[1] for _ in range(answers)]
            await until(lambda: min(viewer.tokens for viewer in viewers) >= tokens, 100)
            await asyncio.sleep(_SETTLED if script.head else 0)
            held = memory_kib([system.server]) - base
            text = sum(viewer.tokens for viewer in viewers) * WIDTH / 1024
            for viewer in viewers:
                viewer.cut()
            return {name: held / text}

        return measure

    def of_text_alone(tokens: int, answers: int, script: Script, name: str) -> Measure:
        # The same answers, which nobody follows but the youngest: its viewer tells how far they are.
        async def measure(system: System) -> Figures:
            base = memory_kib([system.server])
            begun = [await system.begin(script) for _ in range(answers - 1)]
            youngest, viewer = await start(system, script, Tally())
            await until(lambda: viewer.tokens >= tokens, 100)
            await asyncio.sleep(_SETTLED if script.head else 0)
            held = memory_kib([system.server]) - base
            # Only now: to be asked for a text takes memory too. In the time that takes, little is added.
            texts = [await _text_of(system, answer) for answer in (*begun, youngest)]
            viewer.cut()
            if min(map(len, texts)) < tokens * WIDTH:
                raise RuntimeError("the answers have not got that far")
            return {name: held / (sum(map(len, texts)) / 1024)}

        return measure

    # Each on a fresh process: memory that viewers have left behind would hide what answers take.
    await bench.compare("i", _PEERS, of_viewers, rounds=1)
    await bench.compare("i", _PEERS, of_answers, rounds=1)
    lengths = [
        (tokens, answers, Script(tokens + 60 * rate, rate), str(tokens)) for tokens, rate, answers in _LENGTHS
    ]
    # The longest once more, its text all at once.
    lengths.append((_LONGEST, 50, Script(_LONGEST + 2000, 0.5, head=_LONGEST), "text"))
    for tokens, answers, script, name in lengths[: 1 if bench.quick else None]:
        for of, prefix in ((of_text, "held_by"), (of_text_alone, "held_alone_by")):
            await bench.compare("i", ("chatapp",), of(tokens, answers, script, f"{prefix}_{name}"), rounds=1)


async def row_s(bench: Bench) -> None:
    """Soak: 20 answers at any time, one after the other; does memory stay?"""
    seconds = 10 if bench.quick else bench.soak

    async def measure(system: System) -> Figures:
        assert system.redis_port is not None
        tally = Tally()
        script = Script(50, 50)
        begun = monotonic()
        ends = begun + seconds
        done = exact = 0

        async def slot() -> None:
            nonlocal done, exact
            while monotonic() < ends:
                _, viewer = await start(system, script, tally)
                await finish([viewer], 20)
                done += 1
                exact += viewer.exact(script.n)

        slots = [asyncio.create_task(slot()) for _ in range(20)]
        steps = []
        while monotonic() < ends:
            await asyncio.sleep(seconds / 20)
            info = redis_info(system.redis_port)
            steps.append(
                {
                    "seconds": monotonic() - begun,
                    "answers": done,
                    "server_kib": memory_kib([system.server]),
                    "redis_bytes": info.memory,
                    "redis_connections": info.connections,
                }
            )
        await asyncio.gather(*slots)
        # The first third fills caches and pools.
        settled = steps[len(steps) // 3 :]
        grown = linear_regression(
            [step["answers"] for step in settled], [step["server_kib"] for step in settled]
        ).slope
        return {
            "answers": done,
            "exact": exact,
            "server_mib": steps[-1]["server_kib"] / 1024,
            "growth_kib_per_1000_answers": grown * 1000,
            "p99_ms": tally.percentile(0.99),
            "steps": steps,
        }

    await bench.compare("s", ("chatapp",), measure, rounds=1, limit=seconds + 60)


async def row_l(bench: Bench) -> None:
    """A chat of 50 messages: pages a second of one core; and the time from start to ready."""

    async def measure(system: System) -> Figures:
        answer, viewer = await start(system, Script(100, 2000), Tally())
        await finish([viewer], 10)
        chat = answer.path.removeprefix("/api/chats/").partition("/")[0]
        headers = {"Content-Type": "application/json", **answer.headers}
        body = json.dumps({"prompt": str(Script(100, 2000))}).encode()
        for _ in range(_TURNS - 1):
            response = await fetch(system.port, "POST", f"/api/chats/{chat}/messages", headers, body)
            events_url = json.loads(response.body)["events_url"]
            viewer = Viewer(system.port, Answer(events_url, answer.form, answer.headers), Tally())
            await viewer.open()
            await finish([viewer], 10)
        figures: Figures = {"start_s": system.started_in}
        for name, path in (("page", f"/chats/{chat}"), ("json", f"/api/chats/{chat}")):
            figures |= await _requests(system, name, path, answer, 2 if bench.quick else 5)
        return figures

    await bench.compare("l", ("chatapp",), measure, rounds=1 if bench.quick else 3)


async def _text_of(system: System, answer: Answer) -> str:
    """Return as much of an answer's text as there is."""
    response = await fetch(system.port, "GET", answer.path.removesuffix("/events"), answer.headers)
    text: str = json.loads(response.body)["text"]
    return text


async def _requests(system: System, name: str, path: str, answer: Answer, seconds: float) -> Figures:
    ends = monotonic() + seconds
    taken: list[float] = []
    size = 0

    async def ask() -> None:
        nonlocal size
        while (begun := monotonic()) < ends:
            response = await fetch(system.port, "GET", path, answer.headers)
            if response.status != 200:
                raise RuntimeError(f"status {response.status}")
            size = len(response.body)
            taken.append(monotonic() - begun)

    cpu = cpu_seconds(system.processes)
    await asyncio.gather(*(ask() for _ in range(4)))
    cpu = cpu_seconds(system.processes) - cpu
    return {
        f"{name}_per_core_second": len(taken) / cpu,
        f"{name}_p50_ms": median(taken) * 1000,
        f"{name}_bytes": size,
    }


ROWS: dict[str, Row] = {"h": row_h, "i": row_i, "s": row_s, "l": row_l}
