"""Authorities of the settings: `[authorities.NAME]` made into what can be told.

In it: which service a table leads to, and who tells. Not in it: letters, journals, the telling itself (`report`).
Rules: without `live` only a `sandbox_url` is ever told; names of credentials are passed on, and what stands under them
is read by the adapter when it asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from vetset.config import AuthoritySettings
from vetset.errors import Stop
from vetset.platforms.credential import Credential
from vetset.platforms.cybertip import TERMS, CybertipAuthority
from vetset.platforms.letter import Reporter
from vetset.ports import Authority


def may_tell(name: str, authorities: Mapping[str, AuthoritySettings], *, live: bool) -> bool:
    """Whether anything would be sent: to a sandbox, or with `live` to the service. Raises Stop for an unknown name."""
    return live or bool(_settings(name, authorities).sandbox_url)


@contextmanager
def authority_of(name: str, authorities: Mapping[str, AuthoritySettings], *, live: bool) -> Iterator[Authority]:
    """The authority, for as long as the context lasts. Nothing is asked of it yet. Raises Stop."""
    settings = _settings(name, authorities)
    if not may_tell(name, authorities, live=live):
        raise Stop(f"[authorities.{name}] is a live service: nothing was sent", hint="send with --live")
    credential = Credential(f"[authorities.{name}]", settings.credentials_variable, settings.credentials_file)
    terms = replace(TERMS, name=name, certificates_file=settings.certificates_file)
    if live:
        authority = CybertipAuthority.live(credential, _reporter(settings), terms)
    else:
        authority = CybertipAuthority.sandbox(settings.sandbox_url, credential, _reporter(settings), terms)
    try:
        yield authority
    finally:
        authority.close()


def _settings(name: str, authorities: Mapping[str, AuthoritySettings]) -> AuthoritySettings:
    found = authorities.get(name)
    if found is None:
        known = ", ".join(sorted(authorities)) or "none"
        raise Stop(
            f"no authority is named {name}",
            hint=f"name it in the settings as [authorities.{name}]; known there: {known}",
        )
    if "@" not in found.email:
        raise Stop(f"[authorities.{name}] names nobody who reports", hint='email = "you@your-organisation"')
    return found


def _reporter(settings: AuthoritySettings) -> Reporter:
    return Reporter(
        settings.email,
        settings.first_name,
        settings.last_name,
        settings.phone,
        settings.company_template,
        settings.terms_of_service,
        settings.legal_url,
        settings.platform,
    )
