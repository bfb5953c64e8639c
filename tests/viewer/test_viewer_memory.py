"""Threads of the viewer share what memory they take it from."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import ctypes, sys, threading
from concurrent.futures import ThreadPoolExecutor
from liverplan.viewer.memory import share_arenas
if sys.argv[1] == "shared":
    assert share_arenas()
meet = threading.Barrier(8)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda _: (meet.wait(), libc.malloc(1000), meet.wait()), range(8)))
libc.fopen.restype = ctypes.c_void_p
told = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(told))
libc.fclose(ctypes.c_void_p(told))
"""


def arenas(how: str, path: Path) -> int:
    subprocess.run([sys.executable, "-c", PROGRAM, how, str(path)], check=True, timeout=60)
    return path.read_text(encoding="utf-8").count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other systems have no such setting")
def test_eight_threads_share_two_arenas(tmp_path):
    assert arenas("own", tmp_path / "own.xml") > 2
    assert arenas("shared", tmp_path / "shared.xml") <= 2
