"""Certificates of a throw-away authority, made by openssl."""

import pathlib
import subprocess
from dataclasses import dataclass


@dataclass
class KeyPair:
    cert: pathlib.Path
    key: pathlib.Path


class Authority:
    """A CA in folder; ca is its certificate."""

    def __init__(self, folder, name="test CA"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        openssl(
            *("req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-subj", f"/CN={name}", "-keyout", self.key, "-out", self.ca),
        )

    def issue(self, name, alt="IP:127.0.0.1,DNS:localhost"):
        """A certificate for both sides of a connection."""
        base = self.folder / name
        pair = KeyPair(base.with_suffix(".pem"), base.with_suffix(".key"))
        request = base.with_suffix(".csr")
        extensions = base.with_suffix(".ext")
        extensions.write_text(
            f"subjectAltName={alt}\nextendedKeyUsage=serverAuth,clientAuth\n"
        )
        openssl(
            *("req", "-newkey", "ec", "-nodes", "-subj", f"/CN={name}"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-keyout", pair.key, "-out", request),
        )
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca),
            *("-CAkey", self.key, "-CAcreateserial", "-days", "2"),
            *("-extfile", extensions, "-out", pair.cert),
        )
        return pair


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
