"""The vault: findings sealed at the moment of the match, and the keys that open them.

In it: `age` (the edge to the age library), `custody` (custodians' identities and recipients), `keys` (a run's own keys
and their end), `ladder` (padding), `spelling` (findings as lines), `sealing` (the vault itself). Not in it: what a
finding is, and when one is made.
Rules: sizes climb a ladder of powers of two from 64 KiB; stock age opens every file; no private key is ever printed.
"""

from vetset.vault.custody import check_recipients, custodian, new_identity, read_identities
from vetset.vault.keys import RunKeys, close_run, new_keys, open_keys
from vetset.vault.sealing import Vault

__all__ = [
    "RunKeys",
    "Vault",
    "check_recipients",
    "close_run",
    "custodian",
    "new_identity",
    "new_keys",
    "open_keys",
    "read_identities",
]
