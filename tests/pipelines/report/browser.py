"""Headless Chromium over its DevTools protocol: what a page logs, asks of the network, and draws."""

import asyncio
import base64
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

PROGRAM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
"""Chromium, where it is installed."""

_ANSWER_S = 300


class Tab:
    """One page."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0
        self.complaints: list[str] = []
        """Errors, warnings and exceptions of the console."""
        self.requests: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await asyncio.wait_for(self._socket.recv(), _ANSWER_S))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._hear(message)

    async def evaluate(self, expression: str) -> Any:
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def open(self, path: Path, *, width: int = 1280, dark: bool = False) -> None:
        """Load a page whose script marks its end, and wait for that."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.size(width, 900)
        await self.theme(dark)
        await self.call("Page.navigate", url=path.absolute().as_uri())
        await self.evaluate(
            """new Promise((resolve, reject) => {
                const end = Date.now() + 240000;
                const look = () => document.documentElement?.dataset.drawn ? resolve(true)
                    : Date.now() > end ? reject(new Error("not drawn")) : setTimeout(look, 50);
                look();
            })"""
        )

    async def size(self, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    async def theme(self, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def shoot(self, path: Path, height: int | None = None) -> None:
        """Save the whole page, or its first `height` pixels, as a PNG."""
        sizes = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": sizes["width"], "height": height or sizes["height"], "scale": 1}
        answer = await self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(answer["data"]))

    async def print(self) -> bytes:
        """The page as a PDF."""
        answer = await self.call("Page.printToPDF", printBackground=True)
        return base64.b64decode(answer["data"])

    def _hear(self, message: dict[str, Any]) -> None:
        told, values = message.get("method"), message.get("params", {})
        if told == "Runtime.consoleAPICalled":
            self.complaints.append(f"{values['type']}: {[it.get('value') for it in values['args']]}")
        elif told == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(values["exceptionDetails"])[:500])
        elif told == "Log.entryAdded":
            self.complaints.append(f"{values['entry']['level']}: {values['entry']['text']}")
        elif told == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Tab]:
    """A browser with one empty tab, gone in the end."""
    assert PROGRAM is not None
    process = subprocess.Popen(
        [
            *(PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *("--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = next((line for line in process.stderr if "DevTools listening on" in line), None)
        assert line is not None, "Chromium did not start"
        port = line.split("127.0.0.1:")[1].split("/")[0]
        async with connect(line.split()[-1], max_size=None) as browser:
            await browser.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
            targets = json.loads(await browser.recv())["result"]["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        address = f"ws://127.0.0.1:{port}/devtools/page/{page['targetId']}"
        async with connect(address, max_size=None, ping_interval=None) as socket:
            yield Tab(socket)
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
