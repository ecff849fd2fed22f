"""Follow one answer from a cursor to its end, whatever the format it is sent in."""

import random
from collections.abc import AsyncGenerator
from enum import Enum
from time import monotonic

from msgspec import Struct

from chatapp.answers.hub import Hub, Watched
from chatapp.answers.live import Update
from chatapp.models import Cursor, Outcome

__all__ = ("End", "Pause", "view")

#: Seconds of silence after which a viewer is told that the connection lives.
_HEARTBEAT = 12.0
#: Seconds a stream lives at most, a little random: connections should not pile up on one process for ever.
_LIFETIME = 900.0


class End(Struct, frozen=True):
    """The answer is over; nothing comes after this."""

    cursor: Cursor | None
    outcome: Outcome


class Pause(Enum):
    """Why there is nothing to send now."""

    #: Nothing happened for a while.
    SILENCE = "silence"
    #: The stream ends here, the answer does not: come back with your cursor.
    COME_BACK = "come back"


async def view(
    hub: Hub, watched: Watched, after: Cursor | None
) -> AsyncGenerator[Update | End | Pause, None]:
    """Yield what comes after the entry `after` (None: everything), joined as far as it is there.

    An entry that the log does not know gives a reset: never silence, never a hole. A viewer is only a
    position: it is given what lies between that and now when it is ready to take it.
    """
    position = await watched.reach(after) if after is not None else 0
    answer, cursor = watched.answer, after
    deadline = monotonic() + _LIFETIME * random.uniform(0.8, 1.0)  # noqa: S311  # spreads load, hides nothing
    while True:
        if watched.answer is not answer:
            answer = watched.answer
            position = answer.locate(cursor) if answer and cursor is not None else 0
        assert answer is not None
        update = answer.since(position)
        if update is not None:
            position, cursor = update.position, update.cursor
            yield update
            continue
        if answer.outcome is not None:
            yield End(answer.top, answer.outcome)
            return
        if hub.closing or monotonic() > deadline:
            yield Pause.COME_BACK
            return
        if not await watched.changed(_HEARTBEAT):
            yield Pause.SILENCE
