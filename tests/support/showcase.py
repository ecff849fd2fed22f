"""An answer with every kind of block that answers have."""

__all__ = ("MATH", "SHOWCASE")

_WIDE = "    return sum(width * height for width, height in rectangles if width and height) / len(rectangles)"

SHOWCASE = f"""# How a stream is read

A stream carries **every entry** from the first to the *last*, with `XREAD` and an id; what is ~~lost~~
sent twice is [explained here](https://example.com/streams) and at <https://example.org/ids>.

## Steps

1. Ask for what comes after an id
2. Apply it
   - once
   - in order
3. Keep the id

- [x] read
- [ ] write

```python
def area(rectangles: list[tuple[int, int]]) -> float:
    # The mean of what is there.
{_WIDE}
```

| command | answers | cost | said of it by those who wrote it | and by those who use it every day |
|---|:-:|--:|---|---|
| `XADD` | an id | 1 | the entry is there, or an error | it is what a log should be |
| `XREAD` | entries | 12 | all that came since, at once | it waits without asking again |

> A quote of two lines,
> the second one here.

---

A last line with a break,\\
and a note[^1].

[^1]: Notes stand where they are written.

```
no language
```

"""

MATH = r"""The root is $x_1 = \frac{-b}{2a}$, as \(a \neq 0\) says:

$$
\sum_{i=1}^{n} i = \frac{n(n+1)}{2}
$$

It costs $5 and $6, with `$no$` formula.

- an item with $a^2$
- another one

The end, with $e^{i\pi}$ in it.

"""
