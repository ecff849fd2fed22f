"""What every row is given: the provider, the systems one after the other, and a place for its figures."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.load import warm_up
from benchmarks.systems import SYSTEMS, System, running

__all__ = ("Bench", "Figures", "Measure", "Row")

#: What one measurement gives: figures by name; lists hold steps.
Figures = dict[str, Any]
#: Measures a system that runs.
Measure = Callable[[System], Awaitable[Figures]]


@dataclass
class Bench:
    """One run of the benchmark."""

    provider: int
    quick: bool = False
    rounds: int = 3
    soak: float = 60.0
    only: Sequence[str] = ()
    results: list[Figures] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """The length of an ordinary answer."""
        return 100 if self.quick else 500

    async def compare(
        self,
        row: str,
        names: Sequence[str],
        measure: Measure,
        *,
        rounds: int | None = None,
        limit: float = 120,
        warm: bool = True,
    ) -> None:
        """Measure systems in turn, each freshly started: the machine's moods then meet all of them."""
        names = [name for name in names if not self.only or name in self.only]
        for number in range(rounds or self.rounds):
            for name in names if number % 2 == 0 else reversed(names):
                figures: Figures = {"row": row, "system": name, "round": number}
                kind = SYSTEMS[name]
                if (missing := kind.missing()) is not None:
                    self.note(figures | {"error": missing})
                    continue
                try:
                    async with asyncio.timeout(limit), running(kind, self.provider) as system:
                        if warm:
                            await warm_up(system)
                        figures |= await measure(system)
                except Exception as error:  # one system's failure is a figure too
                    figures["error"] = f"{type(error).__name__}: {error}"
                self.note(figures)

    def note(self, figures: Figures) -> None:
        """Keep and show one measurement."""
        self.results.append(figures)
        shown = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in figures.items()
            if name not in ("row", "system", "round") and value != []
        )
        print(f"{figures['row']:2} {figures['system']:13} {shown}", flush=True)


Row = Callable[[Bench], Awaitable[None]]
