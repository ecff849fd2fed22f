"""Search as far as there is time for: `python -m tests.model --faults 3 --texts 2 --viewer`.

Every option is a field of `Config`. `--fixed` gives the model the repairs of `fixes`, without which one
or two faults are enough for one of the known violations (`test_known`) and the search ends there.
A 2-core machine does about 10 000 states a second.
"""

from __future__ import annotations

import argparse
import sys

from tests.model.fixes import ALL_FIXES
from tests.model.search import search
from tests.model.world import Config


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model")
    for field, default in Config._field_defaults.items():
        option = f"--{field.replace('_', '-')}"
        if isinstance(default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=default)
        elif isinstance(default, (int, str)):
            parser.add_argument(option, type=type(default), default=default)
    parser.add_argument(
        "--fixed", action="store_true", help="with all repairs, and a loss of seconds at most"
    )
    parser.add_argument("--limit", type=int, help="expand so many states at most")
    options = vars(parser.parse_args())
    fixed, limit = options.pop("fixed"), options.pop("limit")
    config = Config(**options)
    if fixed:
        config = config._replace(fixes=ALL_FIXES, recent=True)
    result = search(config, limit=limit)
    print(result)
    if result.found:
        print(result.found)
    return result.found is not None


if __name__ == "__main__":
    sys.exit(main())
