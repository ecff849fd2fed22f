"""What was asked of chatapp, and whether the results reach it. Pure."""

from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

__all__ = ("verdicts",)

Results = Mapping[str, Any]
#: What was asked, what was found, and whether that is enough; None where the figures are missing.
Verdict = tuple[str, str, str, bool | None]

#: Bytes of text in a token of the benchmark.
_TOKEN = 9
#: How much dearer a token may become from one end of a growth row to the other.
_FLAT = 1.2


def verdicts(rows: Results) -> Iterator[Verdict]:
    """Compare every figure that was asked for with what was found, row by row."""
    for row, what, asked, judge in _ASKED:
        results = rows.get(row, {}).get("results", [])
        try:
            found, met = judge(_Figures(results))
        except (LookupError, TypeError):
            found, met = "not measured", None
        yield f"{row}: {what}", asked, found, met


class _Figures:
    """Medians over the rounds of one row."""

    def __init__(self, results: list[Results]) -> None:
        self._results = results

    def __call__(self, system: str, figure: str) -> float:
        found: float = median(self.all(system, figure))
        return found

    def all(self, system: str, figure: str) -> list[Any]:
        found = [r[figure] for r in self._results if r["system"] == system and figure in r]
        if not found:
            raise LookupError(figure)
        return found

    def steps(self, system: str, figure: str) -> list[float]:
        """Return a figure at each step of a growth row: the median of its rounds."""
        rounds = [[s[figure] for s in steps] for steps in self.all(system, "steps")]
        return [median(values) for values in zip(*rounds, strict=True)]


Judge = Callable[[_Figures], tuple[str, bool]]


def _at_most(limit: float, figure: str, unit: str = "") -> Judge:
    def judge(figures: _Figures) -> tuple[str, bool]:
        found = figures("chatapp", figure)
        return f"{found:.3g}{unit}", found <= limit

    return judge


def _at_least(limit: float, figure: str, unit: str = "") -> Judge:
    def judge(figures: _Figures) -> tuple[str, bool]:
        found = figures("chatapp", figure)
        return f"{found:.3g}{unit}", found >= limit

    return judge


def _ratio(limit: float, figure: str, peer: str, ours: str = "chatapp") -> Judge:
    def judge(figures: _Figures) -> tuple[str, bool]:
        one, other = figures(ours, figure), figures(peer, figure)
        return f"{one / other:.2f} × ({one:.3g} / {other:.3g})", one <= limit * other

    return judge


def _exact(figure: str, count: float) -> Judge:
    def judge(figures: _Figures) -> tuple[str, bool]:
        found = min(figures.all("chatapp", figure))
        return f"{found:g}", found >= count

    return judge


def _times(figures: _Figures) -> tuple[str, bool]:
    ours, peer = figures("chatapp", "tokens_per_second"), figures("ai-sdk", "tokens_per_second")
    if not peer:
        return f"{ours:,.0f} tokens/s; the peer's first step failed already", ours > 0
    return f"{ours / peer:.1f} × ({ours:,.0f} / {peer:,.0f} tokens/s)", ours >= 5 * peer


def _flat(figure: str) -> Judge:
    def judge(figures: _Figures) -> tuple[str, bool]:
        steps = figures.steps("chatapp", figure)
        shown = ", ".join(f"{step:.3g}" for step in steps)
        # Not flat is either of two things.
        falls = ": it falls" if steps == sorted(steps, reverse=True) else ""
        return f"{shown} µs{falls}", max(steps) <= _FLAT * min(steps)

    return judge


def _grows(figure: str) -> Judge:
    def judge(figures: _Figures) -> tuple[str, bool]:
        smallest, *larger = figures.steps("chatapp", figure)
        dearest = max(larger)
        return f"{dearest / smallest:.2f} × ({dearest:.3g} / {smallest:.3g} µs)", dearest <= _FLAT * smallest

    return judge


def _first_byte(figures: _Figures) -> tuple[str, bool]:
    ours, plain = figures("chatapp", "cold_first_byte_ms"), figures("chatapp", "cold_get_ms")
    return f"{ours / plain:.2f} × ({ours:.3g} / {plain:.3g} ms)", ours <= 3 * plain


def _text(limit: float, figure: str) -> Judge:
    def judge(figures: _Figures) -> tuple[str, bool]:
        found = figures("chatapp", figure)
        return f"{found / _TOKEN:.1f} × ({found:.3g} bytes a token of {_TOKEN})", found <= limit * _TOKEN

    return judge


def _few(figures: _Figures) -> tuple[str, bool]:
    commands, viewers = figures("chatapp", "resumed_without_the_answer"), figures("chatapp", "viewers")
    # One size alone does not show that it is constant: only next to nothing would.
    return f"{commands:.0f} for {viewers:.0f} viewers", commands <= 50


def _connections(figures: _Figures) -> tuple[str, bool]:
    most = max(figures.steps("chatapp", "connections"))
    return f"{most:g}", most <= 6


def _held(figure: str) -> Judge:
    return _at_most(3, f"held_{figure}", " ×")


def _soak(figures: _Figures) -> tuple[str, bool]:
    grown = figures("chatapp", "growth_kib_per_1000_answers")
    return f"{grown:+.0f} KiB a 1,000 answers", grown <= 1000


#: Row, what, asked, and how it is judged.
_ASKED: tuple[tuple[str, str, str, Judge], ...] = (
    ("a", "CPU a token, 100 answers", "≤ 30 µs", _at_most(30, "us_per_token", " µs")),
    ("a", "… against the AI SDK's", "≤ 1/10", _ratio(0.1, "us_per_token", "ai-sdk")),
    ("a", "… against the bare relay's", "≤ 2 ×", _ratio(2, "us_per_token", "relay")),
    ("a", "p99 age", "≤ 40 ms", _at_most(40, "p99_ms", " ms")),
    ("a", "… against the AI SDK's", "≤ 1 ×", _ratio(1, "p99_ms", "ai-sdk")),
    ("a", "exact answers of 100", "100", _exact("exact", 100)),
    ("b", "p99 age, 10 answers, against the AI SDK's", "≤ 1 ×", _ratio(1, "p99_ms", "ai-sdk")),
    ("c", "HTML events against JSON", "≤ 1.4 ×", _ratio(1.4, "us_per_token", "chatapp", "chatapp-html")),
    ("d", "highest rate against the AI SDK's", "≥ 5 ×", _times),
    ("e", "CPU a delivered token, against Nchan's", "≤ 1.5 ×", _ratio(1.5, "us_per_token", "nchan")),
    ("e", "exact viewers of 1,000", "1,000", _exact("exact", 1000)),
    ("f", "all back and live", "≤ 2 s", _at_most(2, "resumed_s", " s")),
    ("f", "exact viewers of 1,000", "1,000", _exact("resumed_exact", 1000)),
    ("f", "Redis commands for that", "constant", _few),
    ("g", "first byte of a finished answer against its GET", "≤ 3 ×", _first_byte),
    ("h", "Redis connections, up to 2,000 viewers", "≤ 6", _connections),
    ("i", "memory of an idle viewer", "≤ 30 KB", _at_most(30, "kib_per_viewer", " KiB")),
    ("i", "a running answer without a viewer, 500 tokens", "≤ 3 × its text", _held("alone_by_500")),
    ("i", "… without a viewer, 2,000 tokens", "≤ 3 × its text", _held("alone_by_2000")),
    ("i", "… without a viewer, 11,000 tokens (100 kB)", "≤ 3 × its text", _held("alone_by_11000")),
    ("i", "… without a viewer, all 11,000 at once", "≤ 3 × its text", _held("alone_by_text")),
    ("i", "a running answer with its viewer, 500 tokens", "≤ 3 × its text", _held("by_500")),
    ("i", "… with its viewer, 2,000 tokens", "≤ 3 × its text", _held("by_2000")),
    ("i", "… with its viewer, 11,000 tokens (100 kB)", "≤ 3 × its text", _held("by_11000")),
    ("i", "… with its viewer, all 11,000 at once", "≤ 3 × its text", _held("by_text")),
    ("s", "memory over the soak", "flat", _soak),
    ("j", "Redis memory while it runs, 500 tokens", "≤ 3 × the text", _text(3, "running_bytes_per_token")),
    ("j", "… 2,000 tokens", "≤ 3 × the text", _text(3, "long_running_bytes_per_token")),
    ("j", "… when logs have expired, 500 tokens", "≤ 1.3 × the text", _text(1.3, "kept_bytes_per_token")),
    ("j", "… 2,000 tokens", "≤ 1.3 × the text", _text(1.3, "long_kept_bytes_per_token")),
    ("j", "Redis commands a token, as sent", "≤ 0.5", _at_most(0.5, "sent_per_token")),
    ("j", "… with those inside scripts, as INFO counts", "≤ 0.5", _at_most(0.5, "commands_per_token")),
    ("k", "question to first token, alone", "≤ 10 ms", _at_most(10, "alone_ms", " ms")),
    ("k", "… beside 100 answers, p99", "≤ 40 ms", _at_most(40, "loaded_p99_ms", " ms")),
    ("l", "pages a second of a core", "≥ 400", _at_least(400, "page_per_core_second")),
    ("l", "start to ready", "≤ 2 s", _at_most(2, "start_s", " s")),
    ("m", "a token at 25, 50, 100, 200 answers", "flat within 20 %", _flat("us")),
    ("m", "… growth: the dearest of the others against 25 answers", "≤ 1.2 ×", _grows("us")),
    ("n", "a delivered token at 125 … 1,000 viewers", "flat within 20 %", _flat("us")),
    ("n", "… growth: the dearest of the others against 125 viewers", "≤ 1.2 ×", _grows("us")),
)
