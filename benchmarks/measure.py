"""What processes and Redis have used, read from outside: /proc and INFO."""

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ("RedisInfo", "cpu_seconds", "memory_kib", "redis_command", "redis_info", "tree")

_PROC = Path("/proc")


def tree(roots: Iterable[int]) -> set[int]:
    """Return these processes and all their descendants."""
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid in found or not (_PROC / str(pid)).exists():
            continue
        found.add(pid)
        for children in (_PROC / str(pid) / "task").glob("*/children"):
            try:
                waiting.extend(int(child) for child in children.read_text().split())
            except OSError:
                continue
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return the processor time (user and system) of these processes and their descendants.

    From schedstat, which counts nanoseconds; `stat` counts hundredths of a second.
    """
    total = 0
    for pid in tree(roots):
        for thread in (_PROC / str(pid) / "task").glob("*/schedstat"):
            try:
                total += int(thread.read_text().split()[0])
            except OSError:
                continue
    return total / 1e9


def memory_kib(roots: Iterable[int], field: str = "Pss") -> int:
    """Return the memory of these processes and their descendants: `Pss` (shared pages once) or `Rss`."""
    total = 0
    for pid in tree(roots):
        try:
            lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    return total


@dataclass(frozen=True)
class RedisInfo:
    """What the rows need of INFO; this reader's own connection is left out."""

    connections: int
    #: Bytes of the data, without the buffers of connections.
    memory: int
    commands: int
    #: How often each command was called, those that scripts made included.
    calls: Mapping[str, int]

    @property
    def asked(self) -> int:
        """Count all but those of an answer itself: appends, each with three inside, and the one reader's."""
        own = 4 * self.calls.get("xadd", 0) + self.calls.get("xread", 0)
        return sum(self.calls.values()) - own


def redis_info(port: int) -> RedisInfo:
    """Ask Redis; the two INFO commands count themselves only afterwards."""
    text = redis_command(port, "INFO", "everything")
    values = dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
    return RedisInfo(
        int(values["connected_clients"]) - 1,
        int(values["used_memory_dataset"]),
        int(values["total_commands_processed"]),
        {
            name.removeprefix("cmdstat_"): int(value.partition("=")[2].partition(",")[0])
            for name, value in values.items()
            if name.startswith("cmdstat_")
        },
    )


def redis_command(port: int, *words: str) -> str:
    """Send one command whose answer is a text, a number or a status, and return it as text."""
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
        file = sock.makefile("rb")
        head = file.readline().decode().rstrip()
        if head.startswith("$"):
            return file.read(max(int(head[1:]), 0)).decode()
        return head[1:]
