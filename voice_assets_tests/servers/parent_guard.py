"""Run a command until standard input closes, so that it ends with the process that started it, also after a kill -9."""

import os
import subprocess
import sys
import threading


def wait_for_stdin_close() -> None:
    """Block until the process that started this one closes its end of standard input, or dies."""
    while sys.stdin.buffer.read(1 << 16):
        pass


def _end_with(child: "subprocess.Popen[bytes]") -> None:
    wait_for_stdin_close()
    child.kill()


def main() -> None:
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with, args=(child,), daemon=True).start()
    os._exit(child.wait())


if __name__ == "__main__":
    main()
