"""Add entries to the logs of many answers with few script calls."""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from redis.exceptions import ResponseError

from chatapp.storage.scripts import APPEND, Call, Reply

__all__ = ("Append", "Batch", "in_batches", "verdicts")

#: Entries of one call: it is cheaper than a call each, and Redis does nothing else meanwhile.
_BATCH = 200
_ADDED: Reply = ["OK"]


class Append(Struct, frozen=True):
    """The next entry of a log.

    `keys`: generation and log; `place`: the place in the provider's own stream after it, if there is one.
    """

    keys: Sequence[str]
    nonce: str
    seq: int
    kind: str
    data: bytes
    place: str = ""


class Batch(Call):
    """One call that adds several entries, each or not, in order."""

    __slots__ = ("size",)

    def __init__(self, appends: Sequence[Append]) -> None:
        keys: list[str] = []
        arguments: list[str | bytes | int] = []
        for append in appends:
            keys += append.keys
            arguments += (append.nonce, append.seq, append.kind, append.data, append.place)
        super().__init__(APPEND, keys, *arguments)
        self.size = len(appends)


def in_batches(appends: Sequence[Append]) -> Iterator[Batch]:
    """Yield the calls that add these entries."""
    for start in range(0, len(appends), _BATCH):
        yield Batch(appends[start : start + _BATCH])


def verdicts(batch: Batch, reply: Reply | Exception) -> list[Reply | Exception]:
    """Return what was answered to each entry of a batch."""
    if isinstance(reply, Exception):
        return [reply] * batch.size
    found: list[Reply | Exception] = [_ADDED] * batch.size
    for number, verdict, detail in zip(reply[1::3], reply[2::3], reply[3::3], strict=True):
        said = verdict.decode()
        found[number - 1] = ResponseError(said) if said == "WRONGTYPE" else [said, detail]
    return found
