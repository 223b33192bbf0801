"""Access control as ASGI middleware: Host, Origin, fetch metadata and token are checked first; answers get a CSP.

A page from elsewhere that is open in the same browser can send requests to 127.0.0.1, and with a name of its own that
resolves here (DNS rebinding) it could even read the answers. The first is stopped by `Origin` and `Sec-Fetch-Site`, the
second by `Host`. On a network, everybody who reaches the port is asked for the token.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "moksori_token"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE = frozenset({"GET", "HEAD"})

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
    "media-src 'self' blob:; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"permissions-policy": b"microphone=(self), camera=(), geolocation=()",
}


class Guard:
    """ASGI middleware that refuses strangers; see the module's description.

    Args:
        app: what is guarded.
        token: is asked for, unless it is None.
        hosts: names, besides those of this machine, under which the studio may be asked.
    """

    def __init__(self, app: ASGIApp, token: str | None = None, hosts: Iterable[str] = ()) -> None:
        self._app, self._token = app, token
        self._hosts = _LOOPBACK | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["nonce"] = nonce = secrets.token_urlsafe(12)
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            await _answer(send, 403, refusal)
        elif self._token is not None and not self._has_token(headers):
            await self._ask_for_token(scope, send)
        else:
            await self._app(scope, receive, _fenced(send, nonce))

    def _refusal(self, method: str, headers: dict[str, str]) -> str | None:
        """Why a request is refused; None where it is not."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return f"Host {host!r} is not this studio; open it by the address that it printed"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return f"a page of {origin} may not ask this studio"
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        is_link = method in _SAFE and mode == "navigate"
        if site not in ("none", "same-origin") and not is_link:
            return "a page from elsewhere may not ask this studio"
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._hosts or (self._token is not None and _is_address(name))

    def _has_token(self, headers: dict[str, str]) -> bool:
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        return COOKIE in cookies and self._is_token(cookies[COOKIE].value)

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), str(self._token).encode())

    async def _ask_for_token(self, scope: Scope, send: Send) -> None:
        """The address that was printed carries the token once; a cookie keeps it from then on."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["method"] == "GET" and self._is_token(given):
            cookie = f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(send, 303, "", {b"location": b"/", b"set-cookie": cookie.encode()})
        else:
            await _answer(send, 401, "this studio asks for its token: open the address that it printed when it started")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def own_names() -> list[str]:
    """The names of this machine on its network."""
    name = socket.gethostname()
    return [name, f"{name}.local"]


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("192.168.0.7")
    (True, True, False, False)
    """
    return host.lower() in _LOOPBACK or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _fenced(send: Send, nonce: str) -> Send:
    """Adds the headers that every answer carries; an answer with a policy of its own keeps that."""

    async def fenced(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {key.lower() for key, _ in message["headers"]}
            ours = {**HEADERS, b"content-security-policy": POLICY.format(nonce=nonce).encode()}
            if b"cache-control" not in given:
                ours[b"cache-control"] = b"no-store"
            message["headers"] = [*message["headers"], *((k, v) for k, v in ours.items() if k not in given)]
        await send(message)

    return fenced


async def _answer(send: Send, status: int, text: str, headers: dict[bytes, bytes] | None = None) -> None:
    ours = {**HEADERS, b"content-type": b"text/plain; charset=utf-8", b"content-security-policy": b"default-src 'none'"}
    start = {"type": "http.response.start", "status": status, "headers": [*{**ours, **(headers or {})}.items()]}
    await send(start)
    await send({"type": "http.response.body", "body": text.encode("utf-8", "replace")})
