"""The list of chats as the page shows it: grouped by the reader's own days, times in words. Pure."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

from markupsafe import Markup, escape
from msgspec import Struct

from chatapp.chats.listing import ChatPage
from chatapp.models import ChatSummary

__all__ = ("ListView", "Row", "ago", "list_view", "reader_zone")

#: Minutes between UTC and the places of this world, as JavaScript counts them.
_FARTHEST = 14 * 60


class Row(Struct, frozen=True):
    """A chat in the list; `group` is the headline above it, empty where that stands above another already."""

    id: str
    title: str
    running: bool
    href: str
    group: str
    when: str
    exact: str
    snippet: Markup | None


class ListView(Struct, frozen=True):
    """Some rows of the list; `more` is the address of those after them.

    `position` is where to follow the person's events from so that nothing after these rows is missed.
    """

    rows: Sequence[Row]
    q: str
    more: str | None
    position: str


def list_view(page: ChatPage, now: datetime, *, q: str = "", group: str = "", position: str = "") -> ListView:
    """Return what the list shows; `group` is the headline under which the rows before it ended."""
    searched, rows = bool(q.strip()), []
    for chat in page.chats:
        label = "" if searched else _group(chat.updated_at.astimezone(now.tzinfo), now)
        rows.append(_row(chat, label if label != group else "", now, q))
        group = label
    more = None
    if page.next_cursor:
        more = f"/chats?{_query(cursor=page.next_cursor, q=q, group=group)}"
    return ListView(rows, q, more, position)


def reader_zone(cookie: str | None) -> timezone:
    """Read where the reader's clock stands, as the page's script has noted it; UTC where it has not."""
    match = re.fullmatch(r"-?[0-9]{1,3}", cookie or "", re.ASCII)
    minutes = int(match[0]) if match else 0
    return timezone(timedelta(minutes=-minutes if abs(minutes) <= _FARTHEST else 0))


def ago(when: datetime, now: datetime) -> str:
    """Say how long ago something was."""
    seconds = max(0, int((now - when).total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "min")):
        if seconds >= size:
            count = seconds // size
            if unit == "day" and count > 6:
                return f"{when.astimezone(now.tzinfo):%-d %B %Y}"
            return f"{count} {unit}{'s' if count > 1 and unit != 'min' else ''} ago"
    return "just now"


def _group(when: datetime, now: datetime) -> str:
    days = (now.date() - when.date()).days
    if days <= 0:
        return "Today"
    if days == 1:
        return "Yesterday"
    if days <= 7:
        return "Previous 7 days"
    return f"{when:%B}" if when.year == now.year else f"{when:%B %Y}"


def _row(chat: ChatSummary, group: str, now: datetime, q: str) -> Row:
    href = f"/chats/{chat.id}"
    if chat.match_id:
        href += f"?at={chat.match_id}#message-{chat.match_id}"
    exact = f"{chat.updated_at.astimezone(now.tzinfo):%-d %B %Y, %H:%M}"
    snippet = _marked(chat.snippet, q) if chat.snippet else None
    return Row(
        chat.id, chat.title, chat.status.active, href, group, ago(chat.updated_at, now), exact, snippet
    )


def _marked(snippet: str, q: str) -> Markup:
    """Mark the searched words where they begin a word of the snippet."""
    words = sorted(map(re.escape, q.split()), key=len, reverse=True)
    if not words:
        return escape(snippet)
    parts = re.split(rf"((?<!\w)(?:{'|'.join(words)}))", snippet, flags=re.IGNORECASE)
    return Markup("").join(
        Markup("<mark>{}</mark>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


def _query(**fields: str) -> str:
    return urlencode({name: value for name, value in fields.items() if value})
