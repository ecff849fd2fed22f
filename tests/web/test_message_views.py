"""What stands around the text of a message."""

from datetime import UTC, datetime, timedelta

from chatapp.models import Message, Status
from chatapp.web.message_views import message_view


def running(age: timedelta) -> Message:
    """An answer that was asked for so long ago."""
    return Message(
        id="a" * 32,
        parent_id="b" * 32,
        role="assistant",
        status=Status.RUNNING,
        text="",
        model="m",
        created_at=datetime.now(UTC) - age,
    )


def test_how_long_its_reader_has_waited() -> None:
    waited = message_view("c" * 32, running(timedelta(seconds=90)), "").waited
    assert waited is not None
    assert 90 <= waited < 120


def test_nobody_has_waited_since_tomorrow() -> None:
    """Another host's clock may be ahead."""
    assert message_view("c" * 32, running(timedelta(days=-1)), "").waited == 0
