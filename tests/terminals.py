"""A pseudo terminal, and what a program writes into it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import Container


def written(program: str, width: int, hidden: Container[str] = ("COLUMNS", "LINES")) -> str:
    """All that a program of Python writes into a terminal of so many columns, control sequences and all.

    Args:
        program: its source. It waits until the size is set, which is once it runs.
        width: of the terminal.
        hidden: variables of the environment that it does not see.
    """
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - another process
        # Spelled out, for readline has put sizes into the environment that `os.environ` does not know of.
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment |= {"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path)}
        os.execve(sys.executable, [sys.executable, "-c", f"import time; time.sleep(0.3)\n{program}"], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    found = b""
    try:
        while block := os.read(terminal, 4096):
            found += block
    except OSError:  # the other end is closed
        pass
    assert os.waitpid(child, 0)[1] == 0, found.decode()
    os.close(terminal)
    return found.decode()
