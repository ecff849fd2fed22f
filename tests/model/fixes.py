"""Changes to the scripts that go with `Config.fixes`, until the project has them or better ones."""

__all__ = ("AGE",)

#: A claim of an ended answer learns how long ago the end was; see `test_known`.
AGE = {
    "prelude": (
        "'seq', int(seq), 'owner', '', 'lease', 0)",
        "'seq', int(seq), 'owner', '', 'lease', int(now_ms()))",
    ),
    "claim": (
        "  return {'CLOSED', g[2]}\nend\nlocal now = now_ms()\n",
        "  return {'CLOSED', g[2], now_ms() - tonumber(g[3])}\nend\nlocal now = now_ms()\n",
    ),
}
