"""Search as far as there is time for: `python -m tests.model --faults 3 --texts 2 --viewer`.

Every option is a field of `Config`. A 2-core machine does about 10 000 states a second.
"""

from __future__ import annotations

import argparse
import sys

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
    parser.add_argument("--limit", type=int, help="expand so many states at most")
    options = vars(parser.parse_args())
    limit = options.pop("limit")
    result = search(Config(**options), limit=limit)
    print(result)
    if result.found:
        print(result.found)
    return result.found is not None


if __name__ == "__main__":
    sys.exit(main())
