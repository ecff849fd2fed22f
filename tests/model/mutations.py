"""Bugs planted in the scripts, and what each must be caught by."""

from __future__ import annotations

from typing import NamedTuple

from tests.model.memory import Patch
from tests.model.world import Config

__all__ = ("MUTATIONS", "Mutation")

#: Small worlds in which each bug shows.
_LOSS = Config(texts=1, faults=1, stops=0, viewer=False)
_STOP = Config(texts=2, faults=1, stops=1, viewer=False)
_PLAIN = Config(texts=2, faults=1, rollbacks=0, stops=0, viewer=False)
_EVICTED = _PLAIN._replace(evictions=1)
_QUIET = Config(texts=1, faults=2, rollbacks=0, stops=0, viewer=False)
_AGAIN = Config(texts=1, faults=1, rollbacks=0, stops=1, reopens=1, viewer=False)
_WATCHED = Config(texts=1, faults=2, stops=0, recent=True)


class Mutation(NamedTuple):
    patch: Patch
    config: Config
    #: How the violation begins.
    caught: str
    #: States that may be looked at before it is.
    limit: int = 20_000


MUTATIONS = {
    "fence counts without the clock": Mutation(
        {"prelude": ("math.max((tonumber(old) or 0) + 1, now_ms())", "(tonumber(old) or now_ms()) + 1")},
        _LOSS,
        "I3",
    ),
    "append without the nonce": Mutation(
        {"append": ("elseif g[1] ~= ARGV[at] then", "elseif g[1] == '' then")}, _PLAIN, "I"
    ),
    "append takes what is there for new": Mutation(
        {"append": ("elseif seq <= last then", "elseif seq < last then")}, _PLAIN, "EVALSHA fails"
    ),
    "append skips over a gap": Mutation(
        {"append": ("elseif seq > last + 1 then", "elseif seq > last + 2 then")}, _STOP._replace(stops=0), "I"
    ),
    "append makes a log anew": Mutation({"append": ("'NOMKSTREAM', ", "")}, _EVICTED, "I2"),
    "append counts no bytes": Mutation({"append": (", 'bytes', bytes)", ")")}, _PLAIN, "I4"),
    "stop keeps the fence": Mutation({"stop": ("next_fence(g[3])", "tonumber(g[3])")}, _STOP, "I3"),
    "stop saves no text": Mutation(
        {"stop": ("text, ARGV[4]", "'', ARGV[4]")}, _PLAIN._replace(stops=1), "I4"
    ),
    "claim keeps the fence": Mutation(
        {"claim": ("local fence, seq = next_fence(g[4])", "local fence, seq = tonumber(g[4])")}, _LOSS, "I3"
    ),
    "claim ignores the lease": Mutation(
        {"claim": ("g[2] == 'running' and left > 0", "false")}, _PLAIN._replace(handovers=1), "I5"
    ),
    "end without the nonce": Mutation(
        {"end": ("g[2] ~= fence or g[3] ~= nonce", "false")}, _PLAIN, "EVALSHA fails"
    ),
    "end leaves the answer running": Mutation(
        {"prelude": ("redis.call('HSET', generation, 'state', state, ", "redis.call('HSET', generation, ")},
        _PLAIN,
        "I4",
    ),
    "a lost log leaves the answer running": Mutation(
        {"prelude": ("generation, 'state', 'interrupted', 'owner'", "generation, 'owner'")},
        _EVICTED,
        "I",
    ),
    "a turn begun twice unlists itself": Mutation(
        {}, _QUIET._replace(planted=frozenset({"own turn unlisted"})), "I8: the answer never ends"
    ),
    "who ends an answer unlists it": Mutation(
        {},
        _QUIET._replace(rollbacks=1, faults=1, planted=frozenset({"ended unlisted"})),
        "I8: the answer never ends",
    ),
    "a look is put off because the end was seen": Mutation(
        {},
        _LOSS._replace(stops=1, planted=frozenset({"ended put off"})),
        "I8: nobody looks at it for",
    ),
    "the digest does not compare": Mutation(
        {"digest": ("redis.call('HGET', KEYS[1], field) ~= ARGV[2]", "false")},
        _QUIET._replace(rollbacks=1, faults=1, stops=1),
        "I4: the saved message has an end",
    ),
    "a claim names no predecessor": Mutation(
        {"claim": (",\n  'p', g[4] .. '-' .. g[5])", ")")}, _WATCHED, "I2: the viewer", 200_000
    ),
    "a stop names no predecessor": Mutation(
        {"prelude": ("fence > before", "false")}, _WATCHED._replace(stops=1), "I2: the viewer", 100_000
    ),
    "reopen keeps the old log": Mutation({"reopen": ("redis.call('UNLINK', log)\n", "")}, _AGAIN, "I2"),
    "reopen counts no bytes": Mutation({"reopen": ("'bytes', #text", "'bytes', 0")}, _AGAIN, "I4"),
    "reopen keeps the end": Mutation(
        {"reopen": ("'HDEL', messages, message .. ':end', ", "'HDEL', messages, ")}, _AGAIN, "I4"
    ),
    "unlist does not compare": Mutation(
        {"unlist": (" or tonumber(score) ~= tonumber(ARGV[2])", "")},
        _QUIET._replace(rollbacks=1),
        "I8: the answer never ends",
    ),
}
