"""A program `voice` for shells, whose commands are forks of the command server: none spends seconds on imports."""

import json
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voice_assets_tests.command_server import shared_command_server

_PROGRAM = """\
#!{python} -SE
import json, os, socket, sys
with socket.create_connection(("127.0.0.1", {port})) as connection, connection.makefile("rw", encoding="utf-8") as file:
    json.dump([sys.argv[1:], os.getcwd(), dict(os.environ)], file)
    file.write("\\n")
    file.flush()
    code, output, errors = json.load(file)
sys.stdout.write(output)
sys.stderr.write(errors)
sys.exit(code)
"""


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        arguments, folder, variables = json.loads(self.rfile.readline())
        command = shared_command_server().start(*arguments, folder=Path(folder), variables=variables)
        output, errors = command.communicate()
        self.wfile.write(json.dumps([command.returncode, output, errors]).encode())


@contextmanager
def voice_program(path: Path) -> Iterator[None]:
    """Write the program to `path`. It works until the block ends, reads no input, and writes its output at its end."""
    shared_command_server()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        path.write_text(_PROGRAM.format(python=sys.executable, port=server.server_address[1]), "utf-8")
        path.chmod(0o755)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
