"""Runs a command in a network of its own that has nothing but loopback (Linux): what needs the internet fails there."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import sys

SET_FLAGS, UP, RUNNING = 0x8914, 0x1, 0x40  # <linux/sockios.h>, <linux/if.h>
INSIDE = "--inside"  # what this script calls itself with, where the new network is


def command(arguments: list[str]) -> list[str]:
    """Return the command line that runs `arguments` without a network.

    Who isn't root becomes root of a namespace with a single user: grading's sandbox, which needs others, refuses there.
    """
    if shutil.which("unshare") is None:
        sys.exit("no_network: needs the command unshare, of Linux's util-linux, but found none")
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *user, "--net", sys.executable, os.path.abspath(__file__), INSIDE, *arguments]


def raise_loopback() -> None:
    """Let 127.0.0.1 be reached: a new network begins with a loopback that is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sH14s", b"lo", UP | RUNNING, b""))


def others() -> list[str]:
    """Return the interfaces besides loopback."""
    return [name for _, name in socket.if_nameindex() if name != "lo"]


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: python tools/no_network.py COMMAND [ARGUMENT ...]")
    if sys.argv[1] != INSIDE:
        line = command(sys.argv[1:])
        os.execvp(line[0], line)
    if others():
        sys.exit(f"no_network: the new network has {', '.join(others())} besides loopback")
    raise_loopback()
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
