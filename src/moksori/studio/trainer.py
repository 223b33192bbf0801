"""Supervisor process of a training: it outlives the server and the page, keeps the log, and says how it ended.

    python -m moksori.studio.trainer FOLDER COMMAND...

It holds a lock on FOLDER/.alive, given by whoever started it, until the training is over: so a studio that is started
later can tell whether one is under way, whatever number its process has.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from moksori import atomic

ALIVE, LOG, ENDED = ".alive", "log.txt", "ended.json"


def main() -> None:
    """Run the command, and write how it ended."""
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    for number in (signal.SIGINT, signal.SIGTERM):
        # They are for the training, which saves and ends; to be ignored would be inherited by it.
        signal.signal(number, lambda *_: None)
    with open(folder / LOG, "ab") as log:
        code = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    atomic.write(folder / ENDED, json.dumps({"code": code}).encode())


if __name__ == "__main__":
    main()
