"""The viewer's server: trame on 127.0.0.1, a port and a key of its own for every start, behind the guard."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from liverplan.errors import ResourceError, UnreadableInput
from liverplan.viewer.guard import PARAMETER, Guard, middleware, new_key

HOST = "127.0.0.1"
TRIAL_SECONDS = 60
_TRIAL = """
from liverplan.report import scene
from liverplan.report.camera import Camera
scene.draw([], [Camera((0, 0, 0), (0, -1, 0), (0, 0, 1), 10)], (8, 8))
"""
NEEDED = ("trame", "trame_vtk", "trame_vuetify")
Build = Callable[[Any], None]
Ready = Callable[[str, int], None]


def require_trame() -> None:
    """Raises UnreadableInput where the extra `view` is not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UnreadableInput(
            "the viewer is not installed",
            got=f"no {', '.join(missing)}",
            wanted="the optional packages of the viewer",
            do='Run: pip install "liverplan[view]"',
        )


def require_free(port: int) -> None:
    """Raises ResourceError where another program listens on a port, or this user may not."""
    if not port:
        return
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError as error:
            raise ResourceError(
                "the port cannot be used",
                got=f"{error.strerror or error} at port {port}",
                wanted="a port that is free, from 1024 on",
                do="Choose another with --port, or leave it away for a free one.",
            ) from error


def serve(build: Build, ready: Ready, port: int = 0, key: str | None = None, secret: str | None = None) -> None:
    """Build the page on a fresh trame server and serve it until interrupted.

    build: puts state and page on the server. ready: told the address (with the key) and the port once it listens.
    port: 0 for a random free one. key, secret: those of a page that is open already; new ones where None.
    """
    require_trame()
    prepare_rendering()
    from trame.app import get_server

    server = get_server("liverplan-view", client_type="vue3")
    guard = Guard(key or new_key(), secret or new_key(), lambda: int(server.port))
    # trame reads the command line of the program: it must see nothing of it.
    os.environ["TRAME_ARGS"] = ""
    server.cli.set_defaults(authKey=guard.secret)

    def bind(wslink_server: Any) -> None:
        wslink_server.app.middlewares.insert(0, middleware(guard))

    def listening(**_state: Any) -> None:
        ready(f"http://{HOST}:{server.port}/?{PARAMETER}={guard.key}", int(server.port))

    server.controller.on_server_bind.add(bind)
    server.controller.on_server_ready.add(listening)
    build(server)
    server.start(
        port=port,
        host=HOST,
        timeout=0,
        open_browser=False,
        show_connection_info=False,
        disable_logging=True,
        backend="aiohttp",
        exec_mode="main",
    )


def prepare_rendering() -> None:
    """EGL needs no display; it must be chosen before VTK makes its first window."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


class DrawingTest:
    """Whether VTK can draw here, tried in a process of its own: a graphics driver may abort the one that tries."""

    def __init__(self) -> None:
        prepare_rendering()
        self._trial = subprocess.Popen(
            [sys.executable, "-c", _TRIAL], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def passed(self) -> bool:
        try:
            return self._trial.wait(TRIAL_SECONDS) == 0
        except subprocess.TimeoutExpired:
            self._trial.kill()
            return False

    def require(self) -> None:
        """Raises ResourceError where VTK cannot draw."""
        if not self.passed():
            raise ResourceError(
                "this machine cannot draw in 3D",
                got="VTK that finds no OpenGL",
                wanted="a graphics driver, or Mesa's software renderer with EGL",
                do="Install Mesa (Debian: libegl1 libgl1-mesa-dri); report.html shows the case without it.",
            )
