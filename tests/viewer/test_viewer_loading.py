"""Scans loaded by the page's own address for files: who may, what becomes of them, and that nothing half stays."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import sys
import time
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("wslink")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pacs"))

import pacs_case  # noqa: E402
from test_viewer_server import cookie_of, on_page  # noqa: E402
from wslink_client import Page  # noqa: E402

import simple_case  # noqa: E402
from conftest import Served, serving  # noqa: E402
from liverplan.io.writing import write_segmentation, write_volume  # noqa: E402

Parts = list[tuple[str, bytes]]
SECONDS = 240.0


@pytest.fixture(scope="module")
def own(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A folder with one case, to load further ones into."""
    root = tmp_path_factory.mktemp("loading") / "cases"
    shutil.copytree(planned, root / "first")
    with serving(root) as server:
        yield server


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A coarse phantom as `ct` (DICOM), `image.nii.gz` and `masks`."""
    home = tmp_path_factory.mktemp("study")
    drawn = simple_case.masks(simple_case.grid(pacs_case.SPACING_MM), pacs_case.LESIONS)
    image = simple_case.image(drawn.grid, drawn)
    pacs_case.write_series(home / "ct", image, 1)
    write_volume(image, home / "image.nii.gz")
    write_segmentation(drawn, home / "masks")
    return home


def parts_of(study: Path, named: Callable[[str], str] = lambda name: name) -> Parts:
    """A DICOM folder and its masks as the browser sends them."""
    slices = [(named(path.name), path.read_bytes()) for path in sorted((study / "ct").iterdir())]
    return slices + [(path.name, path.read_bytes()) for path in sorted((study / "masks").iterdir())]


async def send(served: Served, parts: Parts, token: str | None, **headers: str) -> tuple[int, str]:
    """(status, text) of a request with files, as the page's script makes it."""
    form = aiohttp.FormData()
    for name, content in parts:
        form.add_field("file", content, filename=name, content_type="application/octet-stream")
    told = {"Origin": served.origin, "Cookie": cookie_of(served), **headers}
    if token is not None:
        told["X-Liverplan-Token"] = token
    told = {name: value for name, value in told.items() if value}
    async with (
        aiohttp.ClientSession() as session,
        session.post(served.origin + "/load", data=form, headers=told) as answer,
    ):
        return answer.status, await answer.text()


async def ended(page: Page) -> dict[str, Any]:
    """The state once nothing is being loaded."""
    until = time.monotonic() + SECONDS
    while (state := await page.state())["load_stage"] or not state["load_note"]:
        assert time.monotonic() < until, state["load_stage"]
        await asyncio.sleep(0.3)
    return state


async def idle(page: Page) -> str:
    """Wait for the end of what other tests began; the token."""
    while (state := await page.state())["load_stage"]:
        await asyncio.sleep(0.3)
    return str(state["load_token"])


def loaded(served: Served, parts: Parts, **state: Any) -> dict[str, Any]:
    """Send files, wait for the end."""

    async def act(page: Page) -> dict[str, Any]:
        token = await idle(page)
        await page.set(load_note="", **state)
        await send(served, parts, token)
        return await ended(page)

    return on_page(served, act)


def left_over(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if path.name.startswith(".")]


def test_a_dicom_folder_with_masks_and_hostile_names_is_planned_listed_and_opens_with_its_scan(own, study):
    hostile = "../../<img src=x onerror=alert(1)>.html/"
    state = loaded(own, parts_of(study, lambda name: hostile + name), load_name="phantom")
    assert state["load_note"] == "Planned as phantom."
    assert [row["title"] for row in state["cases"]] == ["first", "phantom"]
    titles = [step["title"] for step in state["load_steps"]]
    assert titles[0] == "receiving the files"
    assert len(titles) > 4
    assert left_over(own.case) == []
    report = json.loads((own.case / "phantom" / "report.json").read_text(encoding="utf-8"))
    assert len(report["lesions"]) == len(pacs_case.LESIONS)
    assert all(path.name.isdigit() for path in (own.case / "scans" / "phantom").iterdir()), "no name that was sent"
    assert "onerror" not in json.dumps({name: state[name] for name in ("cases", "load_steps", "load_note")})

    async def open_it(page: Page) -> dict[str, Any]:
        await page.set(case_index=state["load_new"])
        while (now := await page.state())["case_name"] != "phantom":
            await asyncio.sleep(0.3)
        return now

    assert on_page(own, open_it)["case_note"] == "", "the scan is found in scans/"


def test_a_zip_is_unpacked_and_planned(own, study):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(study / "image.nii.gz", "study/image.nii.gz")
        for mask in (study / "masks").iterdir():
            archive.write(mask, f"study/masks/{mask.name}")
    state = loaded(own, [("study.zip", packed.getvalue())], load_name="packed")
    assert state["load_note"] == "Planned as packed."
    assert (own.case / "scans" / "packed.nii.gz").is_file()
    assert left_over(own.case) == []


def test_a_path_below_the_folder_is_planned_where_it_lies(own, study):
    shutil.copytree(study / "masks", own.case / "given" / "masks")
    shutil.copy(study / "image.nii.gz", own.case / "given")

    async def act(page: Page) -> dict[str, Any]:
        await idle(page)
        await page.set(
            load_note="",
            load_name="by_path",
            load_path="given/image.nii.gz",
            load_masks=str(own.case / "given" / "masks"),
        )
        await page.press("load_path")
        return await ended(page)

    assert on_page(own, act)["load_note"] == "Planned as by_path."
    assert (own.case / "given" / "image.nii.gz").is_file()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([("notes.txt", b"hello")], "Not loaded"),
        ([("study.zip", b"PK\x03\x04")], "the zip cannot be read"),
        ([("scan.nii.gz", b"no nifti")], "Not loaded"),
        ([("liver.nii.gz", b"x")], "there is no scan in it"),
        ([], "Not loaded"),
    ],
)
def test_what_is_no_scan_is_refused_in_words_and_nothing_stays(own, parts, words):
    before = sorted(path.name for path in own.case.iterdir())
    state = loaded(own, parts, load_name="")
    assert words in state["load_note"]
    assert "Traceback" not in state["load_note"]
    assert sorted(path.name for path in own.case.iterdir()) == before


@pytest.mark.parametrize("name", ["first", "scans", "../up", "<b>", "x" * 41, "packed"])
def test_a_name_that_is_none_or_is_taken_is_refused_before_anything_is_read(own, planned, name):
    state = loaded(own, [("scan.nii.gz", b"x")], load_name=name)
    assert state["load_note"].startswith("Not loaded: ")
    assert left_over(own.case) == []


def test_cancel_ends_the_plan_and_leaves_nothing(own, study):
    before = sorted(path.name for path in own.case.iterdir())
    parts = parts_of(study)

    async def act(page: Page) -> tuple[list[str], dict[str, Any]]:
        token = await idle(page)
        await page.set(load_note="", load_name="cancelled")
        await send(own, parts, token)
        while "reading" not in (await page.state())["load_stage"]:
            await asyncio.sleep(0.05)
        meanwhile = left_over(own.case)
        await page.press("load_cancel")
        return meanwhile, await ended(page)

    meanwhile, state = on_page(own, act)
    assert len(meanwhile) == 1
    assert state["load_note"] == "Not loaded: cancelled; nothing of it was kept"
    assert sorted(path.name for path in own.case.iterdir()) == before
    assert not list((own.case / "scans").glob("cancelled*"))


def test_a_second_load_waits_its_turn_and_a_request_that_breaks_off_leaves_nothing(own, study):
    before = sorted(path.name for path in own.case.iterdir())

    async def act(page: Page) -> tuple[int, dict[str, Any]]:
        token = await idle(page)
        await page.set(load_note="", load_name="")
        host, port = own.host.split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /load HTTP/1.1\r\nHost: {own.host}\r\nOrigin: {own.origin}\r\nCookie: {cookie_of(own)}\r\n"
            f"X-Liverplan-Token: {token}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            "Content-Length: 999\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="file"; filename="1"\r\n\r\nhalf'
        )
        writer.write(head.encode())
        await writer.drain()
        while not (await page.state())["load_stage"]:
            await asyncio.sleep(0.05)
        second, _ = await send(own, [("scan.nii.gz", b"x")], token)
        writer.close()
        return second, await ended(page)

    second, state = on_page(own, act)
    assert second == 409
    assert state["load_note"].startswith("Not loaded")
    assert sorted(path.name for path in own.case.iterdir()) == before


def test_files_are_taken_from_the_own_page_with_key_origin_and_token_only(own):
    async def act(page: Page) -> list[int]:
        token = await idle(page)
        parts = [("scan.nii.gz", b"x")]
        tried: list[Awaitable[tuple[int, str]]] = [
            send(own, parts, None),
            send(own, parts, "x" * len(token)),
            send(own, parts, "é"),
            send(own, parts, token, Origin="http://evil.example"),
            send(own, parts, token, Origin="null"),
            send(own, parts, token, Origin=""),
            send(own, parts, token, Cookie=""),
            send(own, parts, token, Host="evil.example"),
        ]
        return [(await one)[0] for one in tried]

    before = sorted(path.name for path in own.case.iterdir())
    assert on_page(own, act) == [403] * 8
    assert sorted(path.name for path in own.case.iterdir()) == before


def test_more_than_the_limit_is_refused_by_what_the_request_says_of_itself(own):
    async def act(page: Page) -> str:
        token = await idle(page)
        host, port = own.host.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            (
                f"POST /load HTTP/1.1\r\nHost: {own.host}\r\nOrigin: {own.origin}\r\nCookie: {cookie_of(own)}\r\n"
                f"X-Liverplan-Token: {token}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                f"Content-Length: {1 << 40}\r\n\r\n"
            ).encode()
        )
        answer = await reader.read(4000)
        writer.close()
        return answer.decode()

    answer = on_page(own, act)
    assert answer.split()[1] == "400"
    assert "too large" in answer
