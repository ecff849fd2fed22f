"""Logs: one line an event on standard error, without prompts, answers, cookies or keys."""

import logging
import sys

__all__ = ("configure_logging", "logger")

logger = logging.getLogger("chatapp")


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
