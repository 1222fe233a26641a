"""Runners: how tasks are carried over shards, in process (`serial`) or in a pool of workers (`local`).

In it: starting, watching and ending workers, and what becomes of a task whose worker dies. Not in it: what a task does.
Rules: a runner calls nothing but `run_task`; any order and any number of workers give the same reports.
"""
