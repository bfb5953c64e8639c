"""The page before there is any case: how a first scan is loaded. Once one is planned the program begins again with it.

The same port, key and secret are kept, so that the page that is open finds the viewer where it was.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liverplan import RESEARCH_USE_ONLY
from liverplan.viewer import page_load, page_tools
from liverplan.viewer.guard import ADDRESS
from liverplan.viewer.loading import Loading

AGAIN = "LIVERPLAN_VIEW_AGAIN"
"""Environment variable of the program that begins again: port, key and secret."""
_TITLE = "liverplan"
_SCRIPT = """
setInterval(async () => {
  if (!(window.trame?.state.get('case_index') >= 0)) return;
  try { if ((await fetch('/', { redirect: 'manual' })).type) window.location.replace('/'); } catch (error) { }
}, 1000);
"""


@dataclass(frozen=True)
class Address:
    """Where a viewer listens and what opens it."""

    port: int
    key: str
    secret: str


class Waiting:
    """What a page without a case holds: the list of cases, still empty, and what is being loaded."""

    def __init__(self, server: Any, home: Path) -> None:
        self.state = server.state
        self.cases: tuple[Path, ...] = ()
        state = self.state
        state.cases, state.cases_shown, state.case_search, state.case_index = [], True, "", -1
        state.notice, state.dark = RESEARCH_USE_ONLY, False
        self.loading = Loading(self, home)


def build_waiting(server: Any, home: Path, address: Address) -> None:
    """Put the page on a trame server; it ends this program's life when the first case is opened."""
    from trame.ui.vuetify3 import VAppLayout
    from trame.widgets import client, html
    from trame.widgets import vuetify3 as v3

    waiting = Waiting(server, home)
    server.state.trame__title = _TITLE
    with VAppLayout(server):
        client.Style(page_tools.STYLE + page_load.STYLE)
        client.Script(page_load.SCRIPT + _SCRIPT)
        with v3.VAppBar(density="compact", height=48):
            html.Div(_TITLE, classes="lp-title")
            html.Div(style="flex:1")
            html.Span("{{ notice }}", classes="lp-notice")
        with v3.VMain(), html.Div(classes="lp"):
            html.Div("There is no case here yet: load a scan.", classes="lp-note", v_if="!cases.length")
            html.Div("Opening the case ...", classes="lp-note", v_if="case_index >= 0")
            page_load.cases(html, waiting)

    def opened(**_state: Any) -> None:
        if waiting.cases and int(server.state.case_index) >= 0:
            begin_again(Address(int(server.port), address.key, address.secret))

    server.state.change("case_index")(opened)
    for name, act in (("load_path", waiting.loading.start_path), ("load_cancel", waiting.loading.cancel)):
        server.trigger(name)(act)
    server.controller.on_server_bind.add(lambda web: web.app.router.add_post(ADDRESS, waiting.loading.receive))


def begin_again(address: Address) -> None:
    """Replace this program by itself, as it was called, at the same address."""
    os.environ[AGAIN] = f"{address.port} {address.key} {address.secret}"
    sys.stdout.flush()
    os.execv(sys.executable, sys.orig_argv)


def taken_over(environment: Mapping[str, str]) -> Address | None:
    """The address of the page that waits for this program; None when it was started by a person."""
    told = environment.get(AGAIN, "").split()
    return Address(int(told[0]), told[1], told[2]) if len(told) == 3 and told[0].isdigit() else None
