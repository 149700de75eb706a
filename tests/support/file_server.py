"""Files over HTTP from this machine."""

from __future__ import annotations

import http.server
import threading
from functools import partial


class Server:
    """Serves files over HTTP on this machine, counts requests, and fails where told to."""

    def __init__(self):
        self.files, self.asked, self.failures = {}, [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                status = outer.failures.pop(0) if outer.failures else None
                content = outer.files.get(self.path)
                if status or content is None:
                    self.send_error(status or 404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=partial(self._http.serve_forever, 0.01), daemon=True)
        self._thread.start()

    def url(self, path):
        return f"http://127.0.0.1:{self._http.server_port}{path}"

    def stop(self):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
