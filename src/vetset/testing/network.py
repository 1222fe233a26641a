"""A network of one's own: a command in namespaces where public-looking addresses, and no others, are this machine's.

In it: the command line that makes it (Linux, `unshare` and `ip`). Not in it: servers, names (`web`, `names`).
Rules: the product refuses loopback without exception, so what is tested against it listens on addresses of `NETWORK`
and `PLACES_6`; nothing in there reaches any other machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

#: Public addresses by every rule, and ours alone inside the namespace.
NETWORK = "11.0.0.0/8"
NETWORK_6 = "2a00:11::/32"
PLACES_6 = ("2a00:11::1", "2a00:11::2")  # of these addresses only some can be bound to, and they are named one by one
NAME_SERVER = "11.0.0.53"

_SCRIPT = """
ip link set lo up
ip route add local "$1" dev lo
for place in $2; do ip -6 addr add "$place/128" dev lo; done
mount --bind "$3/hosts" /etc/hosts
mount --bind "$3/resolv.conf" /etc/resolv.conf
shift 3
exec "$@"
"""


def in_own_network(command: Sequence[str], folder: Path, names: Mapping[str, str] | None = None) -> list[str]:
    """The command as one that runs in a network of its own. `folder` takes two small files that must stay as long.

    `names` have these addresses; others are asked of `NAME_SERVER`, where a `names.NameServer` may listen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {"localhost": "127.0.0.1", **(names or {})}
    (folder / "hosts").write_text("".join(f"{place} {name}\n" for name, place in known.items()), "ascii")
    (folder / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\noptions timeout:5 attempts:1\n", "ascii")
    alone = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-euc", _SCRIPT, "sh"]
    return [*alone, NETWORK, " ".join(PLACES_6), str(folder), *command]
