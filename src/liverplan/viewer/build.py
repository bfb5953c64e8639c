"""The viewer put on a trame server: which button, variable and request leads where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liverplan.viewer import remembered
from liverplan.viewer.app import Viewer
from liverplan.viewer.guard import ADDRESS
from liverplan.viewer.memory import share_arenas
from liverplan.viewer.opened import OpenCase
from liverplan.viewer.page import build_page

WEBSOCKET = "/ws"


def build(server: Any, cases: Sequence[Path], first: OpenCase, home: Path) -> None:
    """Put the viewer on a trame server. home: the folder that scans are loaded into as new cases."""
    share_arenas()
    viewer = Viewer(server, cases, first, home)
    build_page(server, viewer)
    acts = {"jump": viewer.jump, "choose": viewer.choose, "save": viewer.save, "recompute": viewer.revising.start}
    acts |= {"edit": viewer.correcting.edit, "undo": viewer.correcting.undo, "redo": viewer.correcting.redo}
    acts |= {"cancel": viewer.revising.cancel, "save_plane": viewer.cutting.save_now, "key": viewer.key}
    acts |= {"load_path": viewer.loading.start_path, "load_cancel": viewer.loading.cancel}
    acts |= {
        "draw_click": viewer.drawn.clicked,
        "draw_undo": viewer.drawn.undo,
        "draw_clear": viewer.drawn.clear,
        "save_drawn": viewer.drawn.save_now,
    }
    for name, act in acts.items():
        server.trigger(name)(act)
    server.state.change("plane_on", "plane_mm", "plane_turn", "plane_tilt")(viewer.cutting.changed)
    server.state.change("compare_one", "compare_other")(viewer.on_compare)
    server.state.change("margin_mm")(viewer.on_margin)
    server.state.change(*remembered.NAMES)(viewer.remember)
    server.state.change("window")(viewer.on_window)
    server.state.change("shown")(viewer.on_shown)
    server.state.change("dark")(viewer.on_dark)
    server.state.change("case_index")(viewer.on_case)
    server.controller.on_server_ready.add(viewer.ready)
    server.controller.on_client_connected.add(viewer.connected)
    server.controller.on_server_bind.add(lambda web: _add_to(web.app, viewer))


def _add_to(app: Any, viewer: Viewer) -> None:
    """What trame does not do: take files, and count the windows that are open."""
    from aiohttp import web

    async def count(request: Any, handler: Any) -> Any:
        if request.path != WEBSOCKET:
            return await handler(request)
        viewer.count_windows(1)
        try:
            return await handler(request)
        finally:
            viewer.count_windows(-1)

    app.middlewares.append(web.middleware(count))
    app.router.add_post(ADDRESS, viewer.loading.receive)
