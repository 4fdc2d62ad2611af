"""Waiting for conditions, and free ports."""

import os
import socket
import time

# A build under sanitizers is some times slower; tests/run says how many.
SLOWNESS = float(os.environ.get("KATALOGD_TEST_SLOWNESS", "1"))


def await_for(condition, timeout=5.0, what="", interval=0.02):
    """The first true value of condition(), polled until timeout seconds.

    A peer that can't be reached yet is the same as false.
    """
    deadline = time.monotonic() + timeout * SLOWNESS
    last = None
    while True:
        try:
            last = condition()
        except OSError as error:
            last = error
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


GIVEN = set()


def free_port():
    """A port on loopback that is free for TCP and UDP, another each time."""
    while True:
        with (
            socket.socket() as tcp,
            socket.socket(type=socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in GIVEN:
                GIVEN.add(port)
                return port
