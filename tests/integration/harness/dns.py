"""A name server for tests, and programs that ask only that one."""

import ipaddress
import random
import shlex
import socket
import struct
import subprocess
import threading

# It is no one's but the tests', and there are many of them.
PORT = 53
TTL = 1
TYPES = {1: 4, 28: 6}
HEADER = struct.Struct("!HHHHHH")
RESPONSE, NO_SUCH_NAME = 0x8180, 3


def some_host():
    """An address of loopback that nobody else takes."""
    return ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])


def question_of(packet):
    """The name, the type, and where the question ends."""
    labels, at = [], HEADER.size
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    (kind,) = struct.unpack_from("!H", packet, at + 1)
    return ".".join(labels).lower(), kind, at + 5


def record(kind, address):
    """For the name that stands behind the header."""
    data = ipaddress.ip_address(address).packed
    return struct.pack("!HHHIH", 0xC00C, kind, 1, TTL, len(data)) + data


class NameServer:
    """Answers from addresses: a name and its IPv4 and IPv6 addresses."""

    def __init__(self):
        self.addresses = {}
        self.asked = []
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.host = some_host()
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        while True:
            packet, peer = self.socket.recvfrom(4096)
            if len(packet) < HEADER.size:
                return
            self.socket.sendto(self.answer(packet), peer)

    def answer(self, packet):
        name, kind, end = question_of(packet)
        self.asked.append(name)
        records = [
            record(kind, address)
            for address in self.addresses.get(name, ())
            if ipaddress.ip_address(address).version == TYPES.get(kind)
        ]
        unknown = 0 if name in self.addresses else NO_SUCH_NAME
        header = HEADER.pack(
            *struct.unpack_from("!H", packet),
            *(RESPONSE | unknown, 1, len(records), 0, 0),
        )
        return header + packet[HEADER.size : end] + b"".join(records)

    def __enter__(self):
        self.socket.bind((self.host, PORT))
        self.thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket(type=socket.SOCK_DGRAM) as last:
            last.sendto(b"", (self.host, PORT))
        self.thread.join()
        self.socket.close()

    def wrap(self, program, folder):
        """A program that asks this name server alone."""
        resolv_conf, wrapper = folder / "resolv.conf", folder / "wrapped"
        resolv_conf.write_text(f"nameserver {self.host}\n")
        inner = shlex.quote(
            f"mount --bind {shlex.quote(str(resolv_conf))} /etc/resolv.conf"
            f' && exec {shlex.quote(str(program))} "$@"'
        )
        wrapper.write_text(
            f'#!/bin/sh\nexec unshare --mount sh -c {inner} sh "$@"\n'
        )
        wrapper.chmod(0o755)
        return wrapper


def can_have_one():
    """Whether name spaces can be made, and port 53 be listened on."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((some_host(), PORT))
        except OSError:
            return False
    made = subprocess.run(["unshare", "--mount", "true"], check=False)
    return made.returncode == 0
