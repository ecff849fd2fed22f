"""Write server-sent events. Pure: text in, bytes out.

Lines end in LF alone: a CR LF pair that is split over two network packets reads as an empty line to
htmx 4, which then takes half an event for a whole one.
"""

import re

from chatapp.models import Cursor

__all__ = ("HEADERS", "MEDIA_TYPE", "event", "line_event")

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

#: What an SSE parser takes for the end of a line.
_LINE_END = re.compile(r"\r\n|\r|\n")


def line_event(data: bytes, name: bytes, event_id: Cursor) -> bytes:
    """Encode one event whose data is a single line, as JSON is."""
    return b"id: %d-%d\nevent: %b\ndata: %b\n\n" % (*event_id, name, data)


def event(
    data: str, *, name: str | None = None, event_id: object = None, retry_ms: int | None = None
) -> bytes:
    """Encode one event; every line of `data` becomes a line of its own."""
    lines = []
    if event_id is not None:
        lines.append(f"id: {event_id}")
    if name is not None:
        lines.append(f"event: {name}")
    if retry_ms is not None:
        lines.append(f"retry: {retry_ms}")
    lines.extend(f"data: {line}" for line in _LINE_END.split(data))
    return ("\n".join(lines) + "\n\n").encode()
