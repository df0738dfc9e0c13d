"""Drives Chromium over a pipe, by the DevTools protocol; no library but the standard one.

`chromium` is found as ``GODROPBOX_BROWSER`` names it, or by its usual names. Only what the tests
need: open a page, evaluate an expression in it, click, wait until something holds, take a picture.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Page", "browser_program", "opened"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 60.0


def browser_program() -> str | None:
    """Return the path of a Chromium, None if there is none."""
    wanted = os.environ.get("GODROPBOX_BROWSER", "")
    names = (wanted,) if wanted not in ("", "1") else NAMES
    return next((found for name in names if (found := shutil.which(name))), None)


class Page:
    """One page of a browser; `errors` are what its console has said is wrong."""

    def __init__(self, to: int, from_: int) -> None:
        self.errors: list[str] = []
        self._to = to
        self._from = from_
        self._kept = b""
        self._last = 0
        self._session = ""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._kept:
            data = os.read(self._from, 1 << 16)
            assert data, "the browser has ended"
            self._kept += data
        one, _, self._kept = self._kept.partition(b"\0")
        answer: dict[str, Any] = json.loads(one)
        if answer.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(answer["params"]["exceptionDetails"])[:500])
        if answer.get("method") == "Log.entryAdded":
            entry = answer["params"]["entry"]
            if entry["level"] == "error":
                self.errors.append(f"{entry['text']} ({entry.get('url', '')})")
        return answer

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        """Have a window of this size, in light or dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def open(self, url: str) -> None:
        """Load a page."""
        self._call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript is, as JSON has it."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until an expression is true; return it."""
        end = time.monotonic() + PATIENCE
        while True:
            found = self.value(expression)
            if found:
                return found
            assert time.monotonic() < end, f"this never held: {expression}"
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """Click in the middle of what a selector finds, as a mouse does."""
        where = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        point = {"x": where[0], "y": where[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, **point)

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page."""
        taken = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextlib.contextmanager
def opened(program: str, folder: Path) -> Iterator[Page]:
    """Run a browser without a window, whose profile is in `folder`; yield its page."""
    read_commands, to = os.pipe()
    from_, write_answers = os.pipe()
    command = [program, "--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    command += ["--remote-debugging-pipe", f"--user-data-dir={folder}"]
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # which Chromium does not have for root
    # The browser reads its commands at 3 and writes at 4.
    shell = f'exec "$0" "$@" 3<&{read_commands} 4>&{write_answers}'
    process = subprocess.Popen(
        ["bash", "-c", shell, *command],
        pass_fds=(read_commands, write_answers),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_commands)
    os.close(write_answers)
    try:
        yield Page(to, from_)
    finally:
        process.kill()
        process.wait()
        os.close(to)
        os.close(from_)
