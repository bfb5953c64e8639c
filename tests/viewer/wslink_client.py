"""The page's side of the websocket, for tests: calls by name with wslink's framing."""

from __future__ import annotations

import itertools
from typing import Any

import aiohttp
import msgpack
from wslink.chunking import UnChunker, generate_chunks

SECONDS = 30


class Page:
    """An open connection that has said hello."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self._unchunker = UnChunker()
        self._unchunker.set_max_message_size(1 << 27)
        self._numbers = itertools.count(1)
        self.between: list[dict[str, Any]] = []
        """What the server said on its own while an answer was waited for."""

    async def call(self, method: str, arguments: list[Any], kind: str = "test") -> Any:
        """The result of a call; raises AssertionError with the server's words when it says no."""
        id_ = f"{kind}:{next(self._numbers)}"
        packed = msgpack.packb({"wslink": "1.0", "id": id_, "method": method, "args": arguments, "kwargs": {}})
        for chunk in generate_chunks(packed, 1_000_000):
            await self._websocket.send_bytes(chunk)
        while (message := await self.receive()).get("id") != id_:
            self.between.append(message)
        assert "error" not in message, message["error"]
        return message["result"]

    async def receive(self) -> dict[str, Any]:
        """The next whole message."""
        while True:
            told = await self._websocket.receive(SECONDS)
            assert told.type is aiohttp.WSMsgType.BINARY, told
            message = self._unchunker.process_chunk(told.data)
            if message is not None:
                return message

    async def hello(self, secret: str) -> Any:
        return await self.call("wslink.hello", [{"secret": secret}], kind="system")

    async def state(self) -> dict[str, Any]:
        return (await self.call("trame.state.get", []))["state"]

    async def press(self, name: str, *arguments: Any) -> dict[str, Any]:
        """What a button of the page does; the state afterwards."""
        await self.call("trame.trigger", [name, list(arguments), {}])
        return await self.state()

    async def set(self, **values: Any) -> dict[str, Any]:
        """Set variables as the page does; the state afterwards."""
        await self.call("trame.state.update", [[{"key": key, "value": value} for key, value in values.items()]])
        return await self.state()
