from chatapp.web.lru import LruCache


def test_keeps_what_was_put_last() -> None:
    kept: LruCache[str, str] = LruCache(10)

    kept.put("a", "first", 5)
    kept.put("a", "second", 6)

    assert kept.get("a") == "second"
    assert kept.get("b") is None


def test_what_nobody_has_asked_for_the_longest_goes_first() -> None:
    kept: LruCache[str, str] = LruCache(10)
    kept.put("a", "A", 4)
    kept.put("b", "B", 4)
    kept.get("a")

    kept.put("c", "C", 4)

    assert [kept.get(key) for key in "abc"] == ["A", None, "C"]


def test_counts_a_value_that_was_replaced_once() -> None:
    kept: LruCache[str, str] = LruCache(10)
    for _ in range(5):
        kept.put("a", "A", 4)

    kept.put("b", "B", 6)

    assert [kept.get(key) for key in "ab"] == ["A", "B"]


def test_what_has_no_room_at_all_is_not_kept() -> None:
    kept: LruCache[str, str] = LruCache(10)

    kept.put("a", "A", 11)

    assert kept.get("a") is None
