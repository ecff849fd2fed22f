"""What one generation has written, and what Redis has confirmed of it: call by call, without a Redis."""

from chatapp.answers.lease import Lease
from chatapp.answers.outbox import Outbox
from chatapp.models import Cursor
from chatapp.storage.appends import Append

MEGABYTE = 1 << 20


def outbox() -> Outbox:
    """An outbox whose first entry has the number 2."""
    lease = Lease("c" * 32, "m" * 32, "nonce", Cursor(100, 1))
    return Outbox(lease, "", lambda _: None, [object()])


def confirm(outbox: Outbox) -> int:
    """Flush once, all of it confirmed; return how many bytes were sent."""
    size = 0
    for sent in outbox.unsent():
        outbox.take(sent, ["OK"])
        size += len(sent.data) if isinstance(sent, Append) else 0
    return size


def test_a_flush_holds_a_megabyte_and_the_rest_comes_with_the_next() -> None:
    box = outbox()
    box.add("x" * 3 * MEGABYTE)
    sizes: list[int] = []
    while not sizes or box.pending:
        sizes.append(confirm(box))
    assert len(sizes) == 3
    assert max(sizes) < 1.2 * MEGABYTE
    assert sum(sizes) == 3 * MEGABYTE


def test_what_redis_has_lost_takes_up_room_again() -> None:
    box = outbox()
    box.add("x" * (MEGABYTE + 1))
    assert box.full
    while box.pending or box.full:
        confirm(box)
    box.add("y")
    sent, *_ = box.unsent()
    box.take(sent, ["GAP", 2])
    assert box.full
    while box.pending:
        confirm(box)
    assert not box.full


def test_an_answer_that_is_somebody_elses_is_never_full() -> None:
    box = outbox()
    box.add("x" * (MEGABYTE + 1))
    sent, *_ = box.unsent()
    box.take(sent, ["FENCED"])
    assert box.lost == "FENCED"
    assert not box.full
    assert not box.pending
    assert box.unsent() == []
