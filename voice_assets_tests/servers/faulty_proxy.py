"""A proxy before an object store that fails as configured, counts requests, and otherwise changes nothing.

    with faulty_proxy(s3_server.url) as proxy:
        proxy.answer(503, "SlowDown", times=3, method="PUT", path=r"coded/.*\\.npz")
        proxy.cut(after_bytes=1000, method="GET")
        ...  # VOICE_S3__ENDPOINT_URL=proxy.url
        assert proxy.most_in_flight <= 32

A fault strikes the next `times` requests (0: all) whose method and whose unquoted path with query (`/bucket/a
key?list-type=2`) match the regular expressions, found anywhere. Of several that match, the one that was added first
strikes.
"""

import contextlib
import json
import re
import socket
import struct
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import unquote, urlencode, urlsplit

_HOP_BY_HOP = {"host", "connection", "keep-alive", "transfer-encoding", "proxy-connection", "content-length"}
_CONDITIONS = {"if-none-match", "if-match", "x-goog-if-generation-match"}
_BOUNDARY = uuid.uuid4().hex
_LISTING = re.compile(r"[?&](list-type|prefix)=")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str  # unquoted, with the query


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    content_length: int  # what the header says; of a HEAD there is no body


@dataclass(slots=True)
class _Fault:
    kind: Literal["answer", "reset", "lose", "cut", "delay", "stale"]
    method: re.Pattern[str]
    path: re.Pattern[str]
    left: int  # negative: for ever
    answer: _Response | None = None
    after_bytes: int = 0
    delay_sec: float = 0.0


@dataclass(slots=True)
class FaultyProxy:
    url: str
    upstream: str
    requests: list[Request] = field(default_factory=list)
    max_in_flight: int = 0
    clock_offset: timedelta = timedelta()  # added to the Date of every answer
    ignores_conditions: bool = False  # as servers do that have never heard of If-None-Match and If-Match
    json_puts: bool = (
        False  # fake-gcs-server takes no XML uploads, and obstore makes no others: turn them into JSON ones
    )
    _faults: list[_Fault] = field(default_factory=list)
    _in_flight: int = 0
    _listings: dict[str, _Response] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self,
        status: int,
        code: str = "",
        *,
        times: int = 1,
        method: str = "",
        path: str = "",
        headers: Mapping[str, str] | None = None,
        message: str = "As told.",
    ) -> None:
        """Answer with an error as S3 words it: 503 SlowDown, 403 AccessDenied, 403 RequestTimeTooSkewed, …"""
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
        all_headers = {"Content-Type": "application/xml", **(headers or {})}
        answer = _Response(status, tuple(all_headers.items()), body.encode(), len(body))
        self._add("answer", times, method, path, answer=answer)

    def reset(self, *, times: int = 1, method: str = "", path: str = "") -> None:
        """Reset the connection instead of passing the request on."""
        self._add("reset", times, method, path)

    def drop_response(self, *, times: int = 1, method: str = "", path: str = "") -> None:
        """Let the server do what was asked, and reset the connection before its answer."""
        self._add("lose", times, method, path)

    def truncate_response(self, after_bytes: int, *, times: int = 1, method: str = "GET", path: str = "") -> None:
        """Close the connection after so many bytes of the answer's body, whose header promises more."""
        self._add("cut", times, method, path, after_bytes=after_bytes)

    def delay(self, seconds: float, *, times: int = 1, method: str = "", path: str = "") -> None:
        self._add("delay", times, method, path, delay_sec=seconds)

    def stale_listings(self, *, times: int = 0) -> None:
        """Answer each listing as it was last answered through this proxy; one never asked for is passed on."""
        self._add("stale", times, "GET", _LISTING.pattern)

    def clear_faults(self) -> None:
        """Forget all faults, and start to count anew."""
        with self._lock:
            self._faults.clear()
            self.requests.clear()
            self.max_in_flight = self._in_flight
            self.clock_offset = timedelta()
            self.ignores_conditions = False

    def count(self, method: str = "", path: str = "") -> int:
        """How many requests there were whose method and path match these regular expressions."""
        with self._lock:
            return sum(bool(re.search(method, item.method) and re.search(path, item.path)) for item in self.requests)

    def _add(
        self,
        kind: Literal["answer", "reset", "lose", "cut", "delay", "stale"],
        times: int,
        method: str,
        path: str,
        *,
        answer: _Response | None = None,
        after_bytes: int = 0,
        delay_sec: float = 0.0,
    ) -> None:
        fault = _Fault(kind, re.compile(method), re.compile(path), times or -1, answer, after_bytes, delay_sec)
        with self._lock:
            self._faults.append(fault)

    def _begin(self, request: Request) -> _Fault | None:
        with self._lock:
            self.requests.append(request)
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
            for fault in self._faults:
                if fault.left and fault.method.search(request.method) and fault.path.search(request.path):
                    if fault.kind == "stale" and request.path not in self._listings:
                        continue
                    fault.left -= 1
                    return fault
        return None

    def _end(self) -> None:
        with self._lock:
            self._in_flight -= 1

    def _remember(self, request: Request, answer: _Response) -> None:
        if request.method == "GET" and answer.status == 200 and _LISTING.search(request.path):
            with self._lock:
                self._listings[request.path] = answer

    def _remembered(self, request: Request) -> _Response:
        with self._lock:
            return self._listings[request.path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    proxy: FaultyProxy
    _upstream: HTTPConnection | None = None

    def log_message(self, format: str, *args: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(datetime.now(UTC) + self.proxy.clock_offset, usegmt=True)

    def _handle(self) -> None:
        body = self._body()
        request = Request(self.command, unquote(self.path))
        fault = self.proxy._begin(request)
        try:
            answer = self._answer(request, fault, body)
        finally:
            self.proxy._end()  # before the client has its answer: its next request would count as one more in flight
        if answer is None:
            self._reset()
        else:
            self._send(answer, fault.after_bytes if fault is not None and fault.kind == "cut" else None)

    def _answer(self, request: Request, fault: _Fault | None, body: bytes) -> _Response | None:
        """What to answer; None where the connection is to be reset."""
        kind = fault.kind if fault else ""
        if fault is not None and kind == "answer":
            return fault.answer
        if kind == "reset":
            return None
        if kind == "stale":
            return self.proxy._remembered(request)
        if fault is not None and kind == "delay":
            time.sleep(fault.delay_sec)
        try:
            answer = self._forward(body)
        except (OSError, HTTPException):
            return None
        self.proxy._remember(request, answer)
        return None if kind == "lose" else answer

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(chunks)

    def _forward(self, body: bytes) -> _Response:
        dropped = _HOP_BY_HOP | {"expect"} | (_CONDITIONS if self.proxy.ignores_conditions else set())
        parts = urlsplit(self.proxy.upstream)
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() not in dropped}
        headers["host"] = parts.netloc  # by which some servers tell their interfaces apart
        method, path = self.command, self.path
        uploads = self.proxy.json_puts and method == "PUT" and "?" not in path
        if uploads:
            method, path, body = "POST", *_json_upload(path, headers.pop("x-goog-if-generation-match", None), body)
            headers["content-type"] = f"multipart/related; boundary={_BOUNDARY}"
        if body or method in ("PUT", "POST"):
            headers["content-length"] = str(len(body))
        if self._upstream is None:
            self._upstream = HTTPConnection(parts.hostname or "", parts.port, timeout=120)
            self._upstream.connect()
            self._upstream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._upstream.request(method, path, body or None, headers)
        response = self._upstream.getresponse()
        data = response.read()
        own = _HOP_BY_HOP | {"date", "server"}
        kept = tuple((name, value) for name, value in response.getheaders() if name.lower() not in own)
        if uploads and response.status == 200:
            made = json.loads(data)
            names = (("ETag", f'"{made["etag"]}"'), ("x-goog-generation", made["generation"]))
            return _Response(200, names, b"", 0)
        promised = response.getheader("Content-Length")
        return _Response(response.status, kept, data, int(promised) if promised else len(data))

    def _send(self, answer: _Response, cut_after: int | None = None) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(answer.content_length))
        self.end_headers()
        body = b"" if self.command == "HEAD" else answer.body
        self.wfile.write(body[:cut_after])
        self.wfile.flush()
        if cut_after is not None and cut_after < len(body):
            self.close_connection = True

    def _reset(self) -> None:
        # Closed with unsent data thrown away, a socket answers with RST.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        if self._upstream is not None:
            self._upstream.close()
        with contextlib.suppress(OSError, ValueError):  # the connection may have been reset
            super().finish()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815


def _json_upload(path: str, generation: str | None, data: bytes) -> tuple[str, bytes]:
    """Path and body of the JSON upload that does what an XML put of `data` does."""
    bucket, _, key = path.removeprefix("/").partition("/")
    query = {"uploadType": "multipart"} | ({"ifGenerationMatch": generation} if generation is not None else {})
    parts = [
        f"--{_BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{json.dumps({'name': unquote(key)})}\r\n",
        f"--{_BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n",
        f"\r\n--{_BOUNDARY}--\r\n",
    ]
    head, middle, tail = (part.encode() for part in parts)
    return f"/upload/storage/v1/b/{bucket}/o?{urlencode(query)}", head + middle + data + tail


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that went away is no news


@contextlib.contextmanager
def faulty_proxy(upstream: str, *, json_puts: bool = False) -> Iterator[FaultyProxy]:
    """A proxy before an http:// server, in threads of this process; it ends with the block."""
    handler = type("_BoundHandler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    proxy = FaultyProxy(f"http://127.0.0.1:{server.server_address[1]}", upstream, json_puts=json_puts)
    handler.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
