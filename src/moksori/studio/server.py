"""Starting the studio: the address, the token where others can reach it, and one server."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from moksori.errors import UserError
from moksori.studio import guard
from moksori.studio.app import Studio
from moksori.studio.store import Store

PORT = 7860  # where the field's pages are
_N_PORTS = 20  # tried, where nobody asked for one


def serve(
    folder: Path,
    host: str,
    port: int | None,
    say: Callable[[str], None],
    *,
    hosts: Sequence[str] = (),
    opens_browser: bool = False,
) -> None:
    """Serve a studio until it is interrupted.

    Args:
        folder: where it keeps what it is given.
        host: the address to be reached at; anything but this machine's own asks for a token.
        port: 0 for any free one; None for the usual one, or the next that is free.
        say: called with the address.
        hosts: further names under which it may be asked, such as that of a proxy.
        opens_browser: whether to open the page.

    Raises:
        UserError: the folder or the address is taken, or cannot be had.
    """
    store = Store(folder)
    with store.lock(), _bound(host, port) as listening:
        token = None if guard.is_loopback(host) else secrets.token_urlsafe(16)
        own = [] if token is None else guard.own_names()
        app = guard.Guard(Studio(store).app(), token, [*hosts, *own, host])
        found = listening.getsockname()[1]
        shown = host if host not in ("0.0.0.0", "::") else guard.own_names()[0]
        address = f"http://{f'[{shown}]' if ':' in shown else shown}:{found}/{f'?token={token}' if token else ''}"
        say(address)
        if opens_browser:
            webbrowser.open(address)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,  # open pages listen for ever
            lifespan="on",
            ws="none",
        )
        uvicorn.Server(config).run(sockets=[listening])


def _bound(host: str, port: int | None) -> socket.socket:
    """A socket at the address.

    Raises:
        UserError: it is taken, or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    wanted = range(PORT, PORT + _N_PORTS) if port is None else (port,)
    reason = ""
    for number in wanted:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, number))
            listening.listen(128)  # a browser that opens the printed address waits for the server
            return listening
        except OSError as error:
            listening.close()
            reason = error.strerror or str(error)
    which = f"ports {wanted[0]} to {wanted[-1]}" if port is None else f"port {port}"
    raise UserError(f"{host}: {which} cannot be had ({reason}); choose another with --port, or --host 127.0.0.1")
