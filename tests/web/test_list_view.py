"""The list of chats as the page shows it."""

from datetime import UTC, datetime, timedelta

from chatapp.chats.listing import ChatPage
from chatapp.models import ChatSummary, Status
from chatapp.web.list_view import list_view


def test_chats_are_grouped_by_day_and_month() -> None:
    now = datetime(2026, 2, 20, 1, 0, tzinfo=UTC)
    ages = (
        (timedelta(hours=0.5), "Today"),
        (timedelta(hours=2), "Yesterday"),
        (timedelta(days=2), "Previous 7 days"),
        (timedelta(days=7), ""),
        (timedelta(days=8), "February"),
        (timedelta(days=19), ""),
        (timedelta(days=20), "January"),
        (timedelta(days=60), "December 2025"),
        (timedelta(days=425), "December 2024"),
    )
    chats = [
        ChatSummary(id=f"{number:032x}", title="a chat", updated_at=now - age, status=Status.COMPLETED)
        for number, (age, _) in enumerate(ages)
    ]
    shown = list_view(ChatPage(chats, None), now)
    assert [row.group for row in shown.rows] == [group for _, group in ages]
    assert list_view(ChatPage(chats[4:], None), now, group="February").rows[0].group == ""
