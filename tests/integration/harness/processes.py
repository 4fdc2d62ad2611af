"""What /proc says about processes."""

import contextlib
import os
import pathlib
from dataclasses import dataclass

PROC = pathlib.Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process for good: a pid that was given out again is not it."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid):
        return cls(pid, fields_of(pid)[19])

    @property
    def alive(self):
        """Running: a zombie is not."""
        try:
            fields = fields_of(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return fields[19] == self.started and fields[0] not in "ZX"

    @property
    def name(self):
        """The program's file name, "" once it has ended."""
        try:
            return os.path.basename(os.readlink(PROC / str(self.pid) / "exe"))
        except OSError:
            return ""

    @property
    def status(self):
        """The lines of /proc/PID/status."""
        text = (PROC / str(self.pid) / "status").read_text()
        lines = (line.partition(":") for line in text.splitlines())
        return {key: value.strip() for key, _, value in lines}

    @property
    def limits(self):
        """Name -> soft and hard limit."""
        text = (PROC / str(self.pid) / "limits").read_text()
        return {
            line[:26].strip(): line[26:].split()[:2]
            for line in text.splitlines()[1:]
        }

    @property
    def descriptors(self):
        """Descriptor -> what it points to, of those that stay open."""
        found = {}
        for fd in (PROC / str(self.pid) / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found[int(fd.name)] = os.readlink(fd)
        return found

    @property
    def arguments(self):
        return (PROC / str(self.pid) / "cmdline").read_bytes()

    @property
    def environment(self):
        return (PROC / str(self.pid) / "environ").read_bytes()


def fields_of(pid):
    """/proc/PID/stat from the state on (field 3 of proc(5) is the first)."""
    text = (PROC / str(pid) / "stat").read_text()
    return text.rpartition(")")[2].split()


def children_of(pid):
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if int(fields_of(entry.name)[1]) == pid:
                found.append(Process.of(int(entry.name)))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found
