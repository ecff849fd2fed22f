"""The lease by which one worker owns a generation, and the times that belong to it."""

from msgspec import Struct

from chatapp.models import Cursor
from chatapp.storage.scripts import chat_keys

__all__ = ("BEAT_SECONDS", "KEEP_LOG", "LEASE", "Lease")

#: Seconds a worker owns a generation without renewing it.
LEASE = 10.0
#: Seconds an ended log is kept for readers that come back; then the saved message answers them.
KEEP_LOG = 600
#: Seconds after which the lease is renewed; so short because it is also how a worker whose provider is
#: silent learns that its answer was stopped.
BEAT_SECONDS = 0.9


class Lease(Struct, frozen=True):
    """One ownership of a generation: everything this worker writes carries its fence and nonce."""

    chat_id: str
    message_id: str
    nonce: str
    cursor: Cursor

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the chat's keys in the order in which the scripts take them."""
        return chat_keys(self.chat_id, self.message_id)
