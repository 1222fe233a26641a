"""What must be there before the first request: a name and a contact, certificates, open files, a new enough libcurl.

In it: checks that stop a run, and the User-Agent. Not in it: settings' ranges, which `config` checks.
Rules: no host is asked by somebody whom it cannot reach; nothing of the environment but where the system's own
certificates lie is heard, and a file for TLS keys is never written.
"""

from __future__ import annotations

import os
import re
import resource
import ssl
from pathlib import Path

import pycurl

from vetset import __version__
from vetset.config import FetchSettings
from vetset.errors import Stop

_SPARE_FILES = 128
_OLDEST_LIBCURL = 0x080900

_PLAIN = re.compile(r"[\x21-\x27\x2a-\x7e]{3,200}")  # no space, no bracket: it stands in a comment of the User-Agent
_TOKEN = re.compile(r"[A-Za-z_-]{1,40}")  # a product token (RFC 9309, 2.2.1)


def user_agent_of(settings: FetchSettings) -> str:
    """The User-Agent: who asks, and where to reach them. Raises Stop without a contact."""
    contact = settings.contact
    if not _PLAIN.fullmatch(contact) or not ("@" in contact or contact.startswith("https://")):
        raise Stop(
            "there is no contact that can stand in a request: whoever is asked must be able to reach you",
            hint='contact = "you@example.org" in [agreement], or the https address of a page about your audit',
        )
    if not _TOKEN.fullmatch(settings.user_agent):
        raise Stop("[fetch] user_agent is no product name", hint="letters, - and _ only, as robots.txt would name it")
    return f"{settings.user_agent}/{__version__} (audit of a dataset; {contact})"


def certificates_of(settings: FetchSettings) -> str:
    """The file of certificates that are trusted: the one in the settings, or this system's."""
    system = ssl.get_default_verify_paths()
    named = [settings.certificates_file] if settings.certificates_file else []
    usual = [system.cafile, system.openssl_cafile, *_USUAL_CERTIFICATES]
    for name in named or usual:
        if name and Path(name).is_file():
            return name
    raise Stop(
        "there are no certificates to verify hosts with",
        hint="install the system's ca-certificates, or name a file as certificates_file in [fetch]",
    )


_USUAL_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def check_system(settings: FetchSettings) -> None:
    """Raises Stop where this system cannot fetch as it must; raises the limit of open files as far as is needed."""
    if pycurl.version_info()[2] < _OLDEST_LIBCURL:
        raise Stop("the installed libcurl is too old to fetch with", hint="install pycurl from its own wheel")
    os.environ.pop("SSLKEYLOGFILE", None)  # libcurl would write the keys of every connection there
    connections = settings.connections
    needed = 4 * connections + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise Stop(
                f"{connections} connections need {needed} open files, and this system allows {hard}",
                hint="lower connections in [fetch], or raise the limit (ulimit -n)",
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
