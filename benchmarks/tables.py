"""What the tables of performance.md show of each row."""

__all__ = ("TABLES",)

_LOAD = (
    ("us_per_token", "CPU µs a token"),
    ("redis_us_per_token", "of that Redis"),
    ("p50_ms", "age p50, ms"),
    ("p99_ms", "age p99, ms"),
    ("exact", "exact answers"),
    ("answers", "of"),
    ("redis_commands_per_token", "Redis commands a token"),
)

#: Row, title, and the figures of its table (name in the results, heading).
TABLES: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "a",
        "100 answers at 50 tokens/s, a viewer each",
        _LOAD,
    ),
    ("b", "10 answers at 50 tokens/s, a viewer each", _LOAD),
    ("c", "100 answers as HTML for the page, against JSON", _LOAD),
    ("d", "Highest rate with p99 at or below 100 ms", (("tokens_per_second", "tokens/s"),)),
    (
        "e",
        "One answer at 25 tokens/s, 1,000 viewers",
        (
            ("us_per_delivery", "CPU µs a delivered event"),
            ("us_per_token", "a delivered token"),
            ("p50_ms", "age p50, ms"),
            ("p99_ms", "age p99, ms"),
            ("exact", "exact viewers"),
        ),
    ),
    (
        "f",
        "Viewers cut off and back at once in the middle of a 20,000-token answer",
        (
            ("viewers", "viewers"),
            ("resumed_s", "all live again with a cursor, s"),
            ("resumed_exact", "exact"),
            ("resumed_without_the_answer", "Redis commands"),
            ("from_nothing_s", "all live again from nothing, s"),
            ("from_nothing_exact", "exact"),
            ("from_nothing_without_the_answer", "Redis commands"),
        ),
    ),
    (
        "g",
        "Joining a finished 20,000-token answer against a GET of the saved message",
        (
            ("cold_get_ms", "GET, first byte, ms"),
            ("cold_first_byte_ms", "stream, first byte"),
            ("cold_first_text_ms", "first text"),
            ("cold_whole_ms", "whole"),
            ("warm_get_ms", "warm: GET"),
            ("warm_first_byte_ms", "first byte"),
            ("warm_first_text_ms", "first text"),
            ("warm_whole_ms", "whole"),
        ),
    ),
    ("h", "Redis connections", (("at_1", "1 viewer"), ("at_2000", "2,000 viewers, 500 answers"))),
    (
        "i",
        "Memory of the server process (PSS)",
        (
            ("idle_mib", "idle, MiB"),
            ("kib_per_viewer", "a viewer, KiB"),
            ("kib_per_answer", "a running answer, KiB"),
            ("held_alone_by_500", "an answer without a viewer, times its text: 500 tokens"),
            ("held_alone_by_2000", "2,000 tokens"),
            ("held_alone_by_11000", "11,000 tokens"),
            ("held_alone_by_text", "all 11,000 at once"),
            ("held_by_500", "with a viewer: 500 tokens"),
            ("held_by_2000", "2,000 tokens"),
            ("held_by_11000", "11,000 tokens"),
            ("held_by_text", "all 11,000 at once"),
        ),
    ),
    (
        "s",
        "Soak: 20 answers at any time",
        (
            ("answers", "answers"),
            ("exact", "exact"),
            ("server_mib", "server, MiB"),
            ("growth_kib_per_1000_answers", "growth a 1,000 answers, KiB"),
            ("p99_ms", "age p99, ms"),
        ),
    ),
    (
        "j",
        "Redis memory",
        (
            ("running_bytes_per_token", "bytes a token while it runs"),
            ("bytes_per_token", "at its end"),
            ("kept_bytes_per_token", "when logs have expired"),
            ("sent_per_token", "commands a token, as sent"),
            ("commands_per_token", "with those inside scripts"),
            ("long_running_bytes_per_token", "of 2,000 tokens: while it runs"),
            ("long_bytes_per_token", "at its end"),
            ("long_kept_bytes_per_token", "when logs have expired"),
        ),
    ),
    (
        "k",
        "Question to first token, with a provider that answers at once",
        (
            ("alone_ms", "alone, ms"),
            ("loaded_ms", "beside 100 answers, ms"),
            ("loaded_p99_ms", "p99 of these, ms"),
            ("loaded_max_ms", "slowest, ms"),
            ("questions", "questions"),
        ),
    ),
    (
        "l",
        "A chat of 50 messages; start",
        (
            ("page_per_core_second", "pages a second and core"),
            ("page_p50_ms", "page p50, ms"),
            ("json_per_core_second", "JSON a second and core"),
            ("start_s", "start to ready, s"),
        ),
    ),
    (
        "m",
        "Growth from 25 to 200 answers",
        (
            ("us_at_25", "CPU µs a token at 25"),
            ("us_at_200", "at 200"),
            ("all_exact", "all exact"),
        ),
    ),
    (
        "n",
        "Growth from 125 to 1,000 viewers of one answer",
        (
            ("us_at_125", "CPU µs a delivered token at 125"),
            ("us_at_1000", "at 1,000"),
            ("all_exact", "all exact"),
        ),
    ),
)
