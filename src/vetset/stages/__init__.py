"""The stages, one module for each verb: pure functions from batches to small tables, knowing no adapter and no file.

Rules: no stage imports another; a stage gives every row it takes exactly one outcome.
"""
