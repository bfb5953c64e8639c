"""The viewer's running server: who gets in, and that the page's numbers are report.json's."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("wslink")

from wslink_client import Page  # noqa: E402

from conftest import Served  # noqa: E402


def ask(served: Served, path: str = "/", *, key: str | None = None, method: str = "GET", **headers: str) -> Any:
    """(status, headers, text, cookies) of one request, redirects not followed."""

    async def once():
        async with aiohttp.ClientSession() as session:
            query = {} if key is None else {"key": key}
            request = session.request(
                method, served.origin + path, params=query, headers=headers, allow_redirects=False
            )
            async with request as response:
                return response.status, response.headers, await response.text(), response.cookies

    return asyncio.run(once())


def raw(served: Served, target: str, cookie: str) -> bytes:
    """The answer to a request line that no client library would send."""
    host, port = served.host.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(f"GET {target} HTTP/1.1\r\nHost: {served.host}\r\nCookie: {cookie}\r\n\r\n".encode())
        return line.recv(65536)


def cookie_of(served: Served) -> str:
    return f"liverplan_{served.host.split(':')[1]}={served.key}"


def secret_of(served: Served) -> str:
    location = ask(served, key=served.key)[1]["Location"]
    return location.split("secret=")[1].split("&")[0]


def on_page(served: Served, act: Callable[[Page], Awaitable[Any]]) -> Any:
    """Do something with an open page."""

    async def connect():
        headers = {"Origin": served.origin, "Cookie": cookie_of(served)}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(served.origin + "/ws", headers=headers, max_msg_size=0) as websocket,
        ):
            page = Page(websocket)
            await page.hello(secret_of_running)
            return await act(page)

    secret_of_running = secret_of(served)
    return asyncio.run(connect())


async def live(page: Page) -> dict[str, Any]:
    """The state once the loss field was rebuilt."""
    for _ in range(240):
        state = await page.state()
        if state["margin_source"] == "live":
            return state
        await asyncio.sleep(0.25)
    raise AssertionError(f"the field was not rebuilt: {state['margin_stage']}")


def refused_websocket(served: Served, **headers: str) -> int:
    async def once():
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(served.origin + "/ws", headers=headers):
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    return asyncio.run(once())


# -- who gets in ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no second loopback address")
def test_it_listens_on_127_0_0_1_and_on_no_other_address(served):
    port = int(served.host.split(":")[1])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=2)


def test_without_the_key_nothing_is_served(served):
    for path in ("/", "/index.html", "/ws", "/vue.global.js"):
        status, _, text, _ = ask(served, path)
        assert status == 403
        assert "html" not in text


def test_a_wrong_key_is_refused(served):
    assert ask(served, key="k" + "x" * 32)[0] == 403
    assert ask(served, "/index.html", Cookie=cookie_of(served)[:-1] + "?")[0] == 403


def test_the_key_is_moved_from_the_address_into_a_cookie_that_no_script_and_no_other_site_gets(served):
    status, headers, _, cookies = ask(served, key=served.key)
    assert status == 303
    assert served.key not in headers["Location"]
    (cookie,) = cookies.values()
    assert cookie.value == served.key
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    status, _, text, _ = ask(served, headers["Location"], Cookie=cookie_of(served))
    assert status == 200
    assert "<html" in text


def test_a_foreign_host_or_origin_is_refused_even_with_the_key(served):
    assert ask(served, key=served.key, Host="evil.example")[0] == 403
    assert ask(served, key=served.key, Origin="http://evil.example")[0] == 403


def test_the_websocket_opens_for_the_own_page_with_the_key_only(served):
    cookie = cookie_of(served)
    assert refused_websocket(served, Origin=served.origin) == 403
    assert refused_websocket(served, Cookie=cookie) == 403
    assert refused_websocket(served, Cookie=cookie, Origin="http://evil.example") == 403
    assert refused_websocket(served, Cookie=cookie, Origin=served.origin, Host="evil.example:80") == 403
    assert refused_websocket(served, Cookie=cookie, Origin=served.origin) == 101


@pytest.mark.parametrize("secret", ["wslink-secret", "", "x"])
def test_behind_the_guard_the_websocket_asks_for_its_own_secret(served, secret):
    async def once():
        headers = {"Origin": served.origin, "Cookie": cookie_of(served)}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(served.origin + "/ws", headers=headers) as websocket,
        ):
            await Page(websocket).hello(secret)

    with pytest.raises(AssertionError, match="Authentication failed"):
        asyncio.run(once())


@pytest.mark.parametrize(
    "target",
    [
        "/../../../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/assets/../../../../../../../../etc/passwd",
        "/assets/%5c..%5c..%5cetc%5cpasswd",
        "http://127.0.0.1/etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_pages_own_files(served, target):
    answer = raw(served, target, cookie_of(served))
    assert b"root:" not in answer
    assert answer.split()[1] in (b"403", b"404", b"400")


def test_the_case_itself_is_not_served_as_files(served):
    for path in ("/report.json", "/segmentation/liver.nii.gz", f"{served.case}/report.json"):
        assert ask(served, path, Cookie=cookie_of(served))[0] == 404


def test_the_page_may_load_nothing_from_elsewhere(served):
    headers = ask(served, "/index.html?secret=x", Cookie=cookie_of(served))[1]
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "https:" not in policy
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_nothing_can_be_sent_to_the_server_over_http(served):
    for method in ("POST", "PUT", "DELETE"):
        assert ask(served, "/", key=served.key, method=method)[0] == 405


# -- what the page shows -------------------------------------------------------------------------------------------


def stored(served: Served) -> dict[str, Any]:
    return json.loads((served.case / "report.json").read_text(encoding="utf-8"))


def test_the_page_says_what_the_report_says(served):
    report = stored(served)
    state = on_page(served, lambda page: page.state())
    assert state["panel"]["answer"]["feasible"] == report["case"]["wide_margin"]
    assert [row["name"] for row in state["panel"]["resections"]] == [row["name"] for row in report["resections"]]
    assert state["panel"]["eligibility"]["verdict"] == report["eligibility"]["verdict"]
    assert state["case_note"] == "", "the scan lies beside the plan and is found"


def test_at_the_protocols_margin_live_numbers_are_the_stored_ones(served):
    report = stored(served)
    wide = report["limits"]["wide_margin_mm"]
    told = next(row for row in report["margin_curve"] if row["margin_mm"] == wide)

    async def act(page):
        await live(page)
        return await page.set(margin_mm=wide)

    state = on_page(served, act)
    assert state["margin_warning"] == "", "every stored row comes out again"
    assert state["margin_row"] == told


def test_between_the_stored_margins_the_numbers_lie_between_the_stored_rows(served):
    report = stored(served)
    low, high = (next(row for row in report["margin_curve"] if row["margin_mm"] == mm) for mm in (7.0, 8.0))

    async def act(page):
        await live(page)
        return await page.set(margin_mm=7.5)

    row = on_page(served, act)["margin_row"]
    assert low["removed_ml"] < row["removed_ml"] < high["removed_ml"]
    assert low["flr_percent"] >= row["flr_percent"] >= high["flr_percent"]


@pytest.mark.parametrize("margin", ["7", None, True, [7], {"value": 7}, 1e9, -5])
def test_a_margin_that_is_none_is_clipped_or_ignored(served, margin):
    async def act(page):
        await live(page)
        return await page.set(margin_mm=margin)

    row = on_page(served, act)["margin_row"]
    assert 0.0 <= row["margin_mm"] <= 30.0


def test_choosing_a_resection_marks_its_row_and_a_name_from_elsewhere_shows_none(served):
    name = stored(served)["resections"][0]["name"]

    async def act(page):
        # Other tests share the server: whatever they chose is taken away first.
        await page.press("choose", "")
        chosen = (await page.press("choose", name))["resection"]
        foreign = (await page.press("choose", "../../../../etc/passwd"))["resection"]
        return chosen, foreign

    assert on_page(served, act) == (name, "")


def test_a_click_on_a_lesion_makes_its_limit_the_target(served):
    async def act(page):
        jumped = (await page.press("jump", "lesion-1"))["target"]
        return jumped, (await page.press("jump", "lesion-99"))["target"]

    assert on_page(served, act) == ("lesion-1", "lesion-1")


def test_the_form_decides_and_saves_and_a_slip_of_the_pen_is_named(served):
    async def act(page):
        record = (await page.state())["record"]
        saved = await page.press("save", record | {"age_years": {"value": "61", "unit": "years"}})
        refused = await page.press("save", record | {"age_years": {"value": "610", "unit": "years"}})
        return saved, refused

    saved, refused = on_page(served, act)
    outcome = {c["id"]: c["outcome"] for c in saved["panel"]["eligibility"]["criteria"]}
    assert outcome["I1"] == "met"
    assert stored(served)["clinical"]["fields"]["age_years"]["value"] == 61
    assert "age_years" in refused["refused"]
    assert refused["record"]["age_years"]["value"] == 61, "what was saved before stays"
