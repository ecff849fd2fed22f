"""What the demo model has to say: this program's own story, and one example of each kind of markdown."""

from collections.abc import Iterator

__all__ = ("CODE", "FORMULA", "LIST", "QUOTE", "SECTIONS", "SHORT", "TABLE", "TASKS", "episode")

SHORT = (
    "Try this: reload the page while I am writing. The words you have seen are still there, and the "
    "rest arrives as if nothing had happened.",
    "Close this tab, wait a moment and open the chat again: the answer went on without you, because "
    "it is written to a log and not to your connection.",
    "Switch your network off and on while I write. The browser tells the server which entry it saw "
    "last, and gets exactly what came after it.",
    "Open this chat in a second window. Both read the same log, each at its own pace, and neither "
    "can take a word away from the other.",
)

LIST = """\
- **Ask** for `500 words`, and that is about what you get.
- **Reload** in the middle of a sentence; nothing is lost.
- **Stop** me whenever you like, then *continue* where I left off."""

TABLE = """\
| What happens | What you notice |
|:--|:--|
| the page is reloaded | nothing |
| the network is gone for a minute | a small notice |
| the server is replaced | a short pause |"""

CODE = """\
```python
async def follow(log, after):
    while entry := await log.next(after):
        yield entry.text
        after = entry.id
```"""

QUOTE = """\
> A connection is something you borrow.
> A log is something you keep."""

TASKS = """\
- [x] write the answer down
- [x] show it while it grows
- [ ] lose a word of it"""

FORMULA = """\
The chance that all of $n$ drops of the line hit a word is nil here; elsewhere it is

$$
P = 1 - (1 - p)^n
$$"""

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Where an answer lives",
        (
            "Most chat pages keep a growing answer in the very connection that shows it. As long as "
            "the line holds, that works well. When it breaks, the words that were on their way are "
            "gone, and so is everything the model would still have said.",
            "This program turns that round. A small task reads the model's words and appends them to "
            "a stream in Redis, a few at a time. Each entry has a number, and each number follows the "
            "one before it. The page is only a reader of that stream. It may come late, leave early or "
            "come twice; the writer neither knows nor cares.",
            "The price is modest. A batch of words costs a few dozen microseconds to store, and a "
            "whole answer takes less room than a small photograph. In return there is one place that "
            "knows the truth, and everything else may fail around it.",
        ),
    ),
    (
        "How a reader finds its place",
        (
            "Browsers have had the right idea for years. An event stream may number its events, and a "
            "client that was cut off sends the last number it saw in a header called `Last-Event-ID`. "
            "The server then has only to look up what came after.",
            "The details decide whether it really works. The number must be that of the last entry "
            "*contained* in an event, or a word is shown twice. The first page must be made from the "
            "same look at the log as the number in it, or a word falls between page and stream. And a "
            "number the log has never heard of must lead to a fresh start, not to silence.",
            "Silence deserves a thought of its own. A line that is quiet because the model is thinking "
            "looks just like a line that is dead. So every twelve seconds of quiet a heartbeat goes "
            "out. A page that misses a few of them hangs up and calls again.",
        ),
    ),
    (
        "Who may write",
        (
            "A log with two writers is worse than a log with none. Imagine a server that pauses for "
            "half a minute, perhaps because its machine was moved. Others believe it dead, and one of "
            "them takes over. Then it wakes, and writes on as if nothing had happened.",
            "Two old tools keep order. A *lease* says who writes now, and ends by itself unless it is "
            "renewed. A *fence* is a number that grows with each new owner. Every append carries it, "
            "and Redis refuses an append with an old number in the same step in which it would have "
            "stored it. The sleeper wakes, is refused once, and steps aside.",
            "Because the check and the write are one step, no clock has to be right and no message "
            "has to arrive in time. That is the whole art of it: to make the mistake impossible, "
            "rather than unlikely.",
        ),
    ),
    (
        "When something breaks anyway",
        (
            "No design keeps a model from failing in mid-sentence. What a program can do is tell the "
            "truth about it. An answer is called complete only when the model said that it was done; "
            "a stream that merely stops is marked as interrupted.",
            "The words that arrived are kept, and below them stands the one button that makes sense. "
            "Continue, where the answer was cut. Retry, where there is nothing worth keeping. Nobody "
            "has to guess whether a pause is a pause.",
            "The same holds on the way down. A server that is asked to leave first tells its readers "
            "to call elsewhere, then hands its unfinished answers to a colleague, and only then goes. "
            "Seen from the page, a deployment is a breath between two words.",
        ),
    ),
    (
        "A page that stays calm",
        (
            "Text that grows is hard to read when everything around it moves. So a finished paragraph "
            "is drawn once and then left alone; only the last one changes. You can select a sentence "
            "above while the next one is being written.",
            "Scrolling follows the same courtesy. As long as you are at the end, the page goes along. "
            "Scroll up, and it lets you read, however long the answer becomes.",
            "And since the server sends plain HTML, little remains to be done in the browser. A person "
            "without scripts gets a page that works. A person with a screen reader hears the answer "
            "when there is something to hear, not forty times a second.",
        ),
    ),
)

_PLACES = (
    "on a train that enters a tunnel",
    "in a lift between two floors",
    "at an airport with three rival networks",
    "in a café whose router is older than its coffee machine",
    "on a laptop that is closed in a hurry",
    "on a phone that changes from Wi-Fi to mobile",
    "in a lecture hall with two hundred others",
    "on a ferry, an hour from the coast",
    "at a kitchen table, with a toddler near the power switch",
    "in an office where somebody restarts the proxy",
    "on a tablet whose battery is down to one per cent",
    "in a data centre, during a perfectly ordinary deployment",
    "in a hotel that shows its own login page instead",
)
_FAULTS = (
    "The line goes dead in the middle of a word, without a goodbye.",
    "The connection is reset, politely but firmly.",
    "For forty seconds every request is answered by an error page.",
    "The process that was writing is killed, with no time to tidy up.",
    "Redis itself is restarted, and for a moment there is nowhere to write.",
    "The browser puts the tab to sleep to save power.",
    "A second window opens the same chat and reads along.",
    "The machine pauses for twenty seconds and then believes that no time has passed.",
    "The model falls silent, long enough to make one wonder.",
    "An impatient thumb reloads the page four times in a row.",
    "A proxy keeps back all the small packets until it has a large one.",
)
_TURNS = (
    "The reader comes back with the number of the last entry it saw. Eleven entries have been written "
    "since; they arrive together, in order, and the paragraph closes without a seam.",
    "Nothing has to be repeated, for nothing was ever sent from memory alone. The log is read again "
    "from the right place, and the cursor moves on.",
    "Another process notices that a lease has run out. It raises the fence by one, reads how far the "
    "text has come, and takes up the pen.",
    "The writer keeps what it could not store, tries again after a short while, and finds that its "
    "first attempt had succeeded after all. The explicit number gives the repetition away.",
    "The page shows a small notice after two seconds and takes it away after five. By then the answer "
    "is a sentence ahead of where it was.",
    "The late writer wakes, appends with its old fence, and is refused. It takes the hint, logs one "
    "line and goes to look for other work.",
    "A heartbeat is missed, then a second one. The page does not wait for the third; it hangs up, calls "
    "again, and is answered at once.",
)
_MORALS = (
    "The person in question was looking out of the window and saw none of it.",
    "Afterwards the text was compared with the log, byte by byte. They were the same.",
    "In the metrics it is one small step in a line that is otherwise flat.",
    "It would make a poor story for a newspaper, which is the point.",
    "The answer ended with a full stop, as it should.",
    "What remained was a question about tunnels, and a good answer to it.",
    "Someone wrote a test about it, so that it stays this dull.",
    "Reliability is mostly this: many small things that do not become large ones.",
    "No one had to press anything.",
)


def episode(number: int, seed: int) -> Iterator[str]:
    """Yield the heading and the two paragraphs of one logbook entry; its parts meet anew each time."""
    # List lengths without a common factor: the same four parts meet again only after 9,009 entries.
    turn = seed % 9009 + number
    place, fault = _PLACES[turn % len(_PLACES)], _FAULTS[turn % len(_FAULTS)]
    yield f"### Entry {number + 1}"
    yield f"Somebody asks a question {place}. {fault}"
    yield f"{_TURNS[turn % len(_TURNS)]} {_MORALS[turn % len(_MORALS)]}"
