"""The fetcher: addresses in, bytes in memory out, politely and to public addresses only; behind `Fetcher`.

In it: which addresses may be connected to, what an address of the web is, robots.txt and other wishes of a host, how
often a host is asked, and the transfers. Not in it: which rows are worth a request, fingerprints, anything of a list.
Rules: whether an address may be connected to is decided on the socket, never on a name; nothing touches the disk; what
comes from a stranger has a cap in bytes and in seconds; no setting of the environment is heard.
"""
