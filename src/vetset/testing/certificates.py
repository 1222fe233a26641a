"""Certificates made on the spot: an authority of one's own, and what it signs, sound or not.

In it: `Authority`, over the `openssl` command. Not in it: anything for use outside tests.
Rules: keys live in the folder that is handed in; nobody else trusts them.
"""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates for hosts. `file` is what a client must trust."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    def server(self, *hosts: str, expired: bool = False, self_signed: bool = False) -> ssl.SSLContext:
        """The server's side of TLS for these hosts."""
        name = f"{hosts[0].replace('*', 'any')}-{expired:d}-{self_signed:d}"
        request, key, signed = (self.folder / f"{name}.{end}" for end in ("csr", "key", "pem"))
        names = "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts)
        life = ("-not_before", "20200101000000Z", "-not_after", "20200201000000Z") if expired else ("-days", "30")
        subject = ("-subj", "/CN=test", "-addext", names, "-keyout", str(key))
        if self_signed:
            _openssl("req", "-x509", *_CURVE, *subject, "-out", str(signed), "-days", "30")
        else:
            _openssl("req", *_CURVE, *subject, "-out", str(request))
            extensions = self.folder / f"{name}.ext"
            extensions.write_text(names, "ascii")
            self._sign(request, signed, extensions, life)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed, key)
        return context

    def _sign(self, request: Path, signed: Path, extensions: Path, life: Sequence[str]) -> None:
        database = self.folder / "index.txt"
        database.touch()
        _openssl(
            "ca", "-batch", "-notext", "-config", str(self.folder / "ca.conf"),
            "-in", str(request), "-out", str(signed),
            "-extfile", str(extensions), *_ca_dates(life),
        )  # fmt: skip


def authority(folder: Path) -> Authority:
    """A new authority with its key in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Authority(folder)
    key = folder / "authority.key"
    _openssl(
        "req",
        "-x509",
        *_CURVE,
        "-subj",
        "/CN=test authority",
        "-keyout",
        str(key),
        "-out",
        str(made.file),
        "-days",
        "30",
    )
    (folder / "ca.conf").write_text(
        f"[ca]\ndefault_ca=own\n[own]\ndir={folder}\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\n"
        f"certificate={made.file}\nprivate_key={key}\nrand_serial=yes\ndefault_md=sha256\nunique_subject=no\n"
        "policy=any\n[any]\ncommonName=optional\n",
        "ascii",
    )
    return made


def _ca_dates(life: Sequence[str]) -> list[str]:
    """`openssl ca` has names of its own for the ends of a life."""
    return [{"-not_before": "-startdate", "-not_after": "-enddate"}.get(word, word) for word in life]


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)  # noqa: S603, S607 - a test's own files
