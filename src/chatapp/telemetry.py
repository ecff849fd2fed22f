"""Logs: one line an event on standard error, without prompts, answers, cookies or keys."""

import asyncio
import logging
import sys
from time import monotonic

__all__ = ("configure_logging", "watch_loop")

logger = logging.getLogger("chatapp")

_LOOK_EVERY = 0.5
#: Seconds for which the event loop may do one thing before a line says so.
_BLOCKED = 1.0


class _OneLine(logging.Formatter):
    """Keep an event on one line: what a caller sent must not look like an event of its own."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        record.msg = message.encode("unicode_escape").decode() if not message.isprintable() else message
        record.args = ()
        return super().format(record)


def configure_logging() -> None:
    """Log this program's events, and of the libraries only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logger.setLevel(logging.INFO)


async def watch_loop() -> None:
    """Log when the event loop stood still: leases run out then, and viewers wait."""
    while True:
        before = monotonic()
        await asyncio.sleep(_LOOK_EVERY)
        late = monotonic() - before - _LOOK_EVERY
        if late > _BLOCKED:
            logger.warning(
                "the event loop stood still for %.1f s: a blocking call, or a frozen process", late
            )
