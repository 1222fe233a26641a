"""The sandbox: children in which strangers' pictures are decoded, and from which no pixel comes back; behind `Decoder`.

In it: the child and how it locks itself in, the views of a file, the wire between worker and child, and the worker's
side of it. Not in it: digests of bytes, comparing, and anything of a list or a run.
Rules: only the child touches a decoder; what crosses the wire is records of fixed size; a child that answers what
cannot be is treated as dead. Nothing is imported here, so that the child loads only what it needs.
"""
