"""Stands in for the dashboard behind a tab: says what it hears, or misbehaves as it is told.

`python program.py WAY`: `echo` sends back what was typed and its size; `deaf` heeds neither words
nor signals; `flood` draws without end; `crash` says why and ends; `silent` ends before it begins;
`leave` ends well; `links` asks the browser to open what it is told.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

_START = b"__GANGLION__\n"


def send(kind: bytes, data: bytes) -> None:
    os.write(1, kind + len(data).to_bytes(4, "big") + data)


def heard() -> tuple[bytes, bytes] | None:
    head = sys.stdin.buffer.read(5)
    return (head[:1], sys.stdin.buffer.read(int.from_bytes(head[1:], "big"))) if head else None


def main(way: str) -> int:
    if way == "silent":
        return 0
    os.write(1, b"a library greets\n" + _START)
    send(b"D", f"{way} {os.environ['QTUI_BROWSER']} {os.environ['TERM']}".encode())
    if way == "crash":
        os.write(2, b"x" * 100_000 + b"\n" + b"qtui: it broke\n  a way out\n")
        return 3
    if way == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        send(b"D", b"I hear nothing")
        while True:
            time.sleep(60)
    if way == "flood":
        while True:
            send(b"D", b"x" * 60_000)
    if way == "leave":
        send(b"M", json.dumps({"type": "exit"}).encode())
        return 0
    while packet := heard():
        kind, data = packet
        if kind == b"M" and json.loads(data)["type"] == "quit":
            return 0
        if way == "links" and kind == b"D":
            send(
                b"M",
                json.dumps({"type": "open_url", "url": data.decode(), "new_tab": True}).encode(),
            )
        else:
            send(b"D", b"heard " + kind + b" " + data)
    return 129


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
