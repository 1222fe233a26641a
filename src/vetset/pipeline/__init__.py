"""The pipeline: the order of the verbs, for one shard (`shard`) and for all of them (`audit`).

Rules: it speaks to datasets and lists through ports only, writes through the ledger and the vault only, and never
decides about a row: that is the stages' work.
"""
