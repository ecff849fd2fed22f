"""What a page of results keeps of the runs before the one that it shows."""

from __future__ import annotations

import re

__all__ = ("earlier_runs",)

#: Entries kept, the newest first.
_KEPT = 6
_TITLE = "## Earlier runs"
#: The rows of the fault run's table that an entry tells of.
_ROWS = {
    "faults injected": "faults",
    "events lost": "lost",
    "events doubled": "doubled",
    "answers or views without a definite end": "without a definite end",
    "findings": "findings",
}


def earlier_runs(page: str) -> list[str]:
    """Return the list for the next page: this page's run in a line, and the entries that it had itself."""
    body, _, list_ = page.partition(_TITLE)
    entries = re.findall(r"^- .*(?:\n  .*)*", list_, re.MULTILINE)
    figures = {
        name: match[1]
        for row, name in _ROWS.items()
        if (match := re.search(rf"^\| \**{re.escape(row)}\** \| \**([\d,]+)\** \|$", body, re.MULTILINE))
    }
    if len(figures) == len(_ROWS):
        run = re.search(r"; time ([\d-]+) .*?commit (\w+)", body)
        seeds = re.search(r"^Seeds (\d+(?: to \d+)?)", body, re.MULTILINE)
        who = [run[1], f"commit {run[2]}"] if run else []
        who += [f"seeds {seeds[1]}"] if seeds else []
        told = ", ".join(f"{name} {number}" for name, number in figures.items())
        entries.insert(0, f"- {', '.join(who)}: {told}.")
    return entries[:_KEPT]
