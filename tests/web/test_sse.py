"""What an event looks like on the wire."""

import pytest

from chatapp.models import Cursor
from chatapp.web.sse import event, line_event


@pytest.mark.parametrize(
    ("data", "options", "wire"),
    [
        ("a", {}, b"data: a\n\n"),
        ("", {}, b"data: \n\n"),
        ("a", {"name": "end", "event_id": Cursor(7, 3)}, b"id: 7-3\nevent: end\ndata: a\n\n"),
        ("{}", {"name": "heartbeat", "retry_ms": 900}, b"event: heartbeat\nretry: 900\ndata: {}\n\n"),
        # Whatever a parser takes for the end of a line; what Unicode calls one beside these is text.
        ("a\nb\r\nc\rd\u2028e", {}, "data: a\ndata: b\ndata: c\ndata: d\u2028e\n\n".encode()),
        ("a\n", {}, b"data: a\ndata: \n\n"),
    ],
)
def test_events(data: str, options: dict[str, object], wire: bytes) -> None:
    assert event(data, **options) == wire  # type: ignore[arg-type]  # a table of keyword arguments


def test_a_line_is_encoded_as_any_other_data() -> None:
    data = '{"text":"ü"}'
    assert line_event(data.encode(), b"delta", Cursor(1, 2)) == event(data, name="delta", event_id="1-2")
