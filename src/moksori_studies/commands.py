"""How a study is started from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable

from moksori.errors import UserError


def start(main: Callable[[], None]) -> None:
    """Run it; what a person can put right becomes a message without a traceback."""
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
