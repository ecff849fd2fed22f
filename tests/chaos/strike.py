"""What kinds of faults share: their registry, whom they hit, and what they excuse."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from tests.chaos.node import Node
from tests.chaos.oracle import LEASE
from tests.chaos.plan import Fault
from tests.chaos.tracked import Tracked

if TYPE_CHECKING:
    from tests.chaos.storm import Storm

__all__ = ("BREATH", "everybody", "forgotten", "kind", "owned", "shake", "some_node", "some_web", "strike")

#: Seconds to breathe after a fault that stops a process' beat: several must not add up to a lease.
BREATH = 1.5
Strike = Callable[["Storm", Fault], Awaitable[None]]
_STRIKES: dict[str, Strike] = {}


async def strike(storm: Storm, fault: Fault) -> None:
    """Inject one fault; returns when it is over."""
    await _STRIKES[fault.kind](storm, fault)


def kind(name: str) -> Callable[[Strike], Strike]:
    def register(function: Strike) -> Strike:
        _STRIKES[name] = function
        return function

    return register


def some_node(storm: Storm, fault: Fault) -> Node:
    nodes = list(storm.world.nodes.values())
    return nodes[fault.pick(len(nodes))]


def some_web(storm: Storm, fault: Fault) -> Node:
    return storm.world.webs[fault.pick(len(storm.world.webs))]


def everybody(storm: Storm) -> list[Tracked]:
    return list(storm.running.values())


def owned(storm: Storm, node: Node) -> list[Tracked]:
    """The answers that a process writes, or may be about to claim."""
    return [a for a in everybody(storm) if storm.world.owner(a) in (node, None)]


def shake(storm: Storm, answers: Iterable[Tracked]) -> None:
    """Their owner is taken from them: text is kept, and nothing shown yet is asked again."""
    storm.shaken_at = time.monotonic()
    for answer in answers:
        answer.terms.excuse("interrupted", calls=1)
        answer.shaken_at = time.monotonic()


def forgotten(storm: Storm, answers: Iterable[Tracked], marked_at: float) -> None:
    """Excuse answers from what Redis confirmed after the mark and has forgotten."""
    for answer in answers:
        # A viewer ahead of the log is told so where its worker does not send again within two seconds.
        answer.terms.excuse(resets=100)
        # Redis writes some seconds later what it has confirmed, where disk and machine are slow.
        if answer.begun_at > marked_at - 6:
            answer.terms.may_vanish = True
        if max(answer.begun_at, answer.shaken_at) > marked_at - LEASE - 3:
            # The claim may be among it: its text goes with it, or its owner.
            answer.terms.excuse("interrupted", calls=1)
        if any(call.finished for call in storm.world.oracle.calls(answer)):
            # The end may be among it, and workers do not keep what is confirmed to the end.
            answer.terms.excuse("interrupted")
        if "stopped" in answer.terms.statuses or answer.ended_at or any(v.end for v in answer.viewers):
            answer.terms.excuse("interrupted")
            answer.terms.may_reopen = True
