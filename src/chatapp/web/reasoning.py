"""Render a model's reasoning: a labelled block above the answer, closed until somebody opens it."""

from chatapp.models import Reasoning
from chatapp.rendering.text import render_text

__all__ = ("reasoning_html", "reasoning_label", "reasoning_partials")


def reasoning_label(reasoning: Reasoning, *, over: bool) -> str:
    """Return what stands on the closed block; `over`: the answer itself has begun, or ended."""
    if not over:
        return "Thinking…"
    seconds = round(reasoning.seconds)
    if not seconds:
        return "Thought for a moment"
    minutes, seconds = divmod(seconds, 60)
    parts = [f"{minutes} min"] * bool(minutes) + [f"{seconds} s"] * bool(seconds)
    return f"Thought for {' '.join(parts)}"


def reasoning_html(reasoning: Reasoning | None, *, over: bool) -> str:
    """Return the whole block; nothing where nothing was thought."""
    if reasoning is None:
        return ""
    label = reasoning_label(reasoning, over=over)
    if not over:
        # The style sheet animates the span while there is nothing else to see.
        label = f"<span>{label}</span>"
    return f"<details><summary>{label}</summary><div>{render_text(reasoning.text)}</div></details>"


def reasoning_partials(
    message_id: str, before: Reasoning | None, now: Reasoning | None, *, was_over: bool, over: bool
) -> str:
    """Return what turns the block as it was into the block as it is now; only a new one is sent whole."""
    place = f"#reasoning-{message_id}"
    if before is None or now is None:
        return _partial(place, "innerHTML", reasoning_html(now, over=over)) if before != now else ""
    new = now.text[len(before.text) :]
    partials = _partial(f"{place} > details > div", "beforeend", render_text(new)) if new else ""
    if over and (not was_over or now.seconds != before.seconds):
        partials += _partial(f"{place} > details > summary", "innerHTML", reasoning_label(now, over=True))
    return partials


def _partial(target: str, swap: str, html: str) -> str:
    return f'<hx-partial hx-target="{target}" hx-swap="{swap}">{html}</hx-partial>'
