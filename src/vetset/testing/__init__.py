"""What others need to test against vetset: lists in memory, contract suites, generators of synthetic data. Public.

Rules: everything made here is synthetic; nothing imports a test framework.
"""
