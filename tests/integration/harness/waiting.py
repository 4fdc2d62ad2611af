"""Waiting for conditions, and free ports."""

import os
import socket
import time

# A build under sanitizers is some times slower; tests/run says how many.
SLOWNESS = float(os.environ.get("KATALOGD_TEST_SLOWNESS", "1"))


class Refused(Exception):
    """What a peer's API answers to a request of the tests: 400 and above."""

    def __init__(self, status, text):
        super().__init__(f"HTTP {status}: {text}")
        self.status = status

    @property
    def passes(self):
        """It is busy, or not up yet: nothing is wrong with the request."""
        return self.status == 429 or self.status >= 500


def await_for(condition, timeout=5.0, what="", interval=0.02):
    """The first true value of condition(), polled until timeout seconds.

    A peer that can't be reached or can't answer yet is the same as false.
    """
    deadline = time.monotonic() + timeout * SLOWNESS
    last = None
    while True:
        try:
            last = condition()
        except OSError as error:
            last = error
        except Refused as refused:
            if not refused.passes:
                raise
            last = refused
        else:
            if last:
                return last
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {timeout * SLOWNESS:g} s: "
                f"{what or condition.__name__} (last: {last!r})"
            )
        time.sleep(interval)


def holds_for(condition, duration, what="", interval=0.05):
    """Asserts that condition() stays true for duration seconds."""
    deadline = time.monotonic() + duration
    while time.monotonic() < deadline:
        assert condition(), f"did not stay so: {what or condition.__name__}"
        time.sleep(interval)


# Below those that the kernel hands out by itself, to whoever binds to port 0
# or connects: what is free here is so when it is used a moment later, too.
FIRST_PORT, LAST_PORT = 10000, 32767
# Each process of the tests claims blocks of so many.
BLOCK = 250
CLAIMS = []


def free_port():
    """A port on loopback that is free for TCP and UDP, another each time.

    No other process of the tests, of this run or another, is given it.
    """
    return next(PORTS)


def own_ports():
    for first in range(FIRST_PORT, LAST_PORT - BLOCK, BLOCK):
        if claim(first):
            yield from filter(is_free, range(first, first + BLOCK))
    raise AssertionError(f"no port left up to {LAST_PORT}")


PORTS = own_ports()


def claim(block):
    """By a socket's name, which ends with this process."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(f"\0katalogd-tests-ports-{block}")
    except OSError:
        sock.close()
        return False
    CLAIMS.append(sock)
    return True


def is_free(port):
    with (
        socket.socket() as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        try:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
