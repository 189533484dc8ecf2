"""HTTP of the small hub: requests with their bodies read, answers, connections that break."""

import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from voice_assets_tests.servers.hub import HubServer

_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str  # with its %2F unescaped
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode())


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is bytes, or a value that is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def error_response(status: int, message: str, code: str = "") -> Response:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Response(status, {"error": message}, headers)


class Handler(BaseHTTPRequestHandler):
    hub: "HubServer"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        from voice_assets_tests.servers.hub import RequestRefused

        parts = urlsplit(self.path)
        line = f"{self.command} {unquote(parts.path)}"
        self.hub.requests.append(line)
        fault = self.hub.fault(line)
        if fault is not None and fault.answer is None and fault.before is None and not fault.unanswered:
            self._reset(fault.reset_after_bytes)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, unquote(parts.path), parse_qs(parts.query), headers, self._body())
        if fault is not None and fault.before is not None:
            fault.before()
        if fault is not None and fault.answer is not None:
            self._send(fault.answer)
            return
        try:
            answer = self.hub.answer(request)
        except RequestRefused as refused:
            answer = refused.answer
        if fault is not None and fault.unanswered:
            self._reset(0)
        else:
            self._send(answer)

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET  # noqa: N815 (the names are the standard library's)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _reset(self, after_bytes: int) -> None:
        while after_bytes > 0 and (block := self.rfile.read(min(after_bytes, _BLOCK))):
            after_bytes -= len(block)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()

    def _send(self, answer: Response) -> None:
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        headers = {"Content-Length": str(len(data)), **answer.headers}
        if not isinstance(answer.body, bytes):
            headers["Content-Type"] = "application/json"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
