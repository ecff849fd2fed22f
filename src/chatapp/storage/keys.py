"""Every Redis key, in one place; ids are checked by `ID_PATTERN` before they come here.

The braces keep all of one chat in one Redis Cluster slot, so that a script may touch it all.
"""

#: Hints that work is waiting; read by one consumer group. Losing one is harmless.
WAKE = "generations:wake"
WAKE_GROUP = "workers"
#: Sorted set: worker process → when it last looked for work, in ms of Redis' clock.
WORKERS = "workers"
#: String without a meaning, written so that WAITAOF has something to wait for.
SYNC = "durability:sync"
#: Sorted set, member "<chat id> <message id>", score: Redis time in ms at which to look again.
DUE = "generations:due"
#: Sorted set: deleted chat -> Redis time in ms at which nobody can take that back any more.
DELETED = "chats:deleted"
#: Sorted set: version of the pages' files -> Redis time in s at which a process with these last started.
RELEASES = "releases"
#: Field of `user_slots` that says that no chat of this owner is without its signature.
INDEXED = "indexed"


def chat(chat_id: str) -> str:
    """Hash: owner, title, model, system, head, times; temperature, max_tokens (empty: the
    provider's default), stream ("0": answers appear whole), titled ("", "auto", "manual"), deleted_at,
    share."""
    return f"chat:{{{chat_id}}}"


def messages(chat_id: str) -> str:
    """Hash; for each message M the fields `M` (head), `M:text`, `M:end` (outcome), `M:last` (the
    cursors of the last entry with text and of the end), `M:reasoning`, `M:times` (when the answer began and
    ended, in ms), `M:children` (ids, the oldest first; `:children` alone: the first questions)."""
    return f"chat:{{{chat_id}}}:messages"


def requests(chat_id: str) -> str:
    """Hash: idempotency key -> "<body's fingerprint> <question id> <answer id>", or for an answer that
    goes on "<fingerprint> <answer id> <attempt>"."""
    return f"chat:{{{chat_id}}}:requests"


def generation(chat_id: str) -> str:
    """Hash: the one generation a chat may have; its fields are written by the scripts alone."""
    return f"chat:{{{chat_id}}}:generation"


def log(chat_id: str, message_id: str) -> str:
    """Stream: the log of one answer, entry ids `<fence>-<seq>`, fields `t` (type) and `d` (data)."""
    return f"chat:{{{chat_id}}}:log:{message_id}"


def files(version: str) -> str:
    """Hash: the pages' files of one release, name -> content."""
    return f"files:{version}"


def share(token: str) -> str:
    """Hash: the chat behind a public link, its owner, the last message shown, and when it was shared."""
    return f"share:{token}"


def user_chats(owner: str) -> str:
    """Sorted set: chat ids by last use."""
    return f"user:{owner}:chats"


def user_running(owner: str) -> str:
    """Sorted set: chat in which an answer may run -> Redis time in ms at which it was let in; what does run
    the chats' generations say."""
    return f"user:{{{owner}}}:running"


def user_pace(owner: str) -> str:
    """String: Redis time in ms up to which this owner's questions reach, at the pace that is allowed."""
    return f"user:{{{owner}}}:pace"


def user_slots(owner: str) -> str:
    """Hash: chat id -> number of its signature, and the other way; `next` and `free` numbers; `INDEXED`."""
    return f"user:{{{owner}}}:slots"


def user_signatures(owner: str) -> str:
    """String: signature after signature (`storage.signatures`), in one Cluster slot with their numbers."""
    return f"user:{{{owner}}}:signatures"


def user_events(owner: str) -> str:
    """Stream: what happened to this owner's chats, fields `t` (type) and `d` (JSON)."""
    return f"user:{owner}:events"


def doorbell(hub_id: str) -> str:
    """Stream of one entry: rung so that a hub's blocked read returns and takes in a new log."""
    return f"hub:{hub_id}:doorbell"
