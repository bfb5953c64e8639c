"""Who may ask the viewer's server: this machine, with this start's key, from the viewer's own page.

The server listens on 127.0.0.1 only. That alone is not enough: other users of the machine can reach it, and any page
in the surgeon's browser can send requests to it. So every request, the websocket's included, must
- name the server as its Host (a name that a foreign page made point to 127.0.0.1 is refused),
- come from the server's own page where the browser states an Origin, and state one when it opens the websocket or
  sends files,
- bring the key: once in the address that the program prints, from then on in a cookie that scripts cannot read and
  that browsers send from no other site.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

KEY_BYTES = 24
"""192 random bits per start."""
PARAMETER, SECRET = "key", "secret"
PAGE = "/index.html"
ADDRESS = "/load"
"""Where the page sends files to; the only address that takes any."""
HEADERS: Mapping[str, str] = {
    # The page loads nothing from elsewhere; Vue compiles its templates in the browser, hence eval.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' {ws}; worker-src 'self' blob:; "
        "object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Handler = Callable[[Any], Awaitable[Any]]


def new_key() -> str:
    """A key for one start of the server, safe in an address."""
    # The letter in front: the page's script would read a key of digits alone as a number.
    return f"k{secrets.token_urlsafe(KEY_BYTES)}"


@dataclass(frozen=True)
class Guard:
    """Decides on requests. port: a call, because the port is known only once the server listens."""

    key: str
    secret: str
    """What the page says again inside the websocket: trame's own key, random here as well."""
    port: Callable[[], int]

    @property
    def hosts(self) -> tuple[str, str]:
        return f"127.0.0.1:{self.port()}", f"localhost:{self.port()}"

    @property
    def cookie(self) -> str:
        """Cookies do not tell ports apart: each server has a name of its own."""
        return f"liverplan_{self.port()}"

    def refusal(self, headers: Mapping[str, str], cookies: Mapping[str, str], query: Mapping[str, str]) -> str | None:
        """Why a request is refused; None when it may pass."""
        host, origin = headers.get("Host", ""), headers.get("Origin")
        if host not in self.hosts:
            return "this server answers under its own address only"
        if origin is not None and origin != f"http://{host}":
            return "this server answers its own page only"
        if origin is None and headers.get("Upgrade", "").lower() == "websocket":
            return "a websocket is opened from the viewer's page only"
        if not (self._is_key(query.get(PARAMETER)) or self._is_key(cookies.get(self.cookie))):
            return "the key is missing or is not this start's; open the address that `liverplan view` printed"
        return None

    def has_key_in_address(self, query: Mapping[str, str]) -> bool:
        return self._is_key(query.get(PARAMETER))

    def page(self, host: str) -> str:
        """The page with what its script needs to connect; the script takes both out of the address at once."""
        return f"{PAGE}?{urlencode({SECRET: self.secret, 'sessionURL': f'ws://{host}/ws'})}"

    def _is_key(self, given: str | None) -> bool:
        return given is not None and secrets.compare_digest(given.encode(), self.key.encode())


def middleware(guard: Guard) -> Any:
    """The guard as an aiohttp middleware: refuses with 403, and moves the key from the address into the cookie."""
    from aiohttp import web

    async def check(request: Any, handler: Handler) -> Any:
        refused = guard.refusal(request.headers, request.cookies, request.query)
        if refused is not None:
            return web.Response(status=403, text=f"403: {refused}\n", headers=_headers(guard))
        if request.method not in ("GET", "HEAD") and (request.method, request.path) != ("POST", ADDRESS):
            return web.Response(status=405, text="405: the viewer's page only reads\n", headers=_headers(guard))
        if request.method == "POST" and request.headers.get("Origin") is None:
            refused = "files are taken from the viewer's page only"
            return web.Response(status=403, text=f"403: {refused}\n", headers=_headers(guard))
        if request.path in ("/", PAGE) and SECRET not in request.query:
            moved = web.Response(
                status=303, headers={**_headers(guard), "Location": guard.page(request.headers["Host"])}
            )
            if guard.has_key_in_address(request.query):
                moved.set_cookie(guard.cookie, guard.key, httponly=True, samesite="Strict", path="/")
            return moved
        try:
            response = await handler(request)
        except web.HTTPException as status:
            status.headers.update(_headers(guard))
            raise
        if not response.prepared:
            response.headers.update(_headers(guard))
        return response

    return web.middleware(check)


def _headers(guard: Guard) -> dict[str, str]:
    ws = " ".join(f"ws://{host}" for host in guard.hosts)
    return {name: value.replace("{ws}", ws) for name, value in HEADERS.items()}
