"""The program with a trap in it: `python -m tests.chaos.hooks web`, the trap named by `CHAOS_TRAP`.

Crashes at one exact point cannot be made from outside. A trap with a file in `CHAOS_ONCE` snaps once.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from chatapp import cli
from chatapp.answers import outbox, provider
from chatapp.chats import turns
from chatapp.storage.scripts import END

#: In a question: the worker that hears its answer dies.
POISON = "poison"


def die() -> None:
    """End at once, as by `kill -9`; only the first time where that is wished."""
    once = os.environ.get("CHAOS_ONCE")
    if once:
        try:
            Path(once).touch(exist_ok=False)
        except FileExistsError:
            return
    os._exit(9)


def trap_begin() -> None:
    """F13: the turn is begun, the hint is not sent."""
    module: Any = turns
    run = module.run_in_order

    async def run_in_order(redis: Any, *commands: Any) -> Any:
        if len(commands) == 5:
            await run(redis, *commands[:3])
            die()
        return await run(redis, *commands)

    module.run_in_order = run_in_order


def trap_finish() -> None:
    """F14: the provider has said why it stopped, the end is not written."""
    finish = outbox.Outbox.finish

    def crash(self: outbox.Outbox, outcome: Any) -> None:
        die()
        finish(self, outcome)

    outbox.Outbox.finish = crash  # type: ignore[method-assign]  # the planted crash


def trap_end() -> None:
    """F15: the end is written, and whatever should come after it is not done."""
    take = outbox.Outbox.take

    def crash(self: outbox.Outbox, sent: Any, reply: Any) -> None:
        if getattr(sent, "script", None) is END:
            die()
        take(self, sent, reply)

    outbox.Outbox.take = crash  # type: ignore[method-assign]  # the planted crash


def trap_poison() -> None:
    """F12, F69: what this answer says kills its worker, every time."""
    stream = provider.OpenAIProvider.stream

    def crash(self: provider.OpenAIProvider, prompt: provider.Prompt) -> Any:
        upstream = stream(self, prompt)
        read = upstream.read

        async def last_read() -> Any:
            await read()
            os._exit(9)

        if POISON in prompt.turns[-1].content:
            upstream.read = last_read  # type: ignore[method-assign]  # the planted crash
        return upstream

    provider.OpenAIProvider.stream = crash  # type: ignore[method-assign]  # the planted crash


def trap_block() -> None:
    """F06: a signal makes the event loop stand still for 12 s."""

    def burn(*_: object) -> None:
        until = time.monotonic() + 12
        while time.monotonic() < until:
            pass
        print("the trap lets go", flush=True)

    signal.signal(signal.SIGUSR1, burn)


def trap_clock() -> None:
    """F31: each signal makes this host's clock jump, an hour ahead and back again."""
    now, jump = time.time, [0.0]
    time.time = lambda: now() + jump[0]
    signal.signal(signal.SIGUSR1, lambda *_: jump.__setitem__(0, 3600.0 - jump[0]))


TRAPS = {
    "clock": trap_clock,
    "begin": trap_begin,
    "finish": trap_finish,
    "end": trap_end,
    "poison": trap_poison,
    "block": trap_block,
}

if __name__ == "__main__":
    TRAPS[os.environ["CHAOS_TRAP"]]()
    cli.main()
