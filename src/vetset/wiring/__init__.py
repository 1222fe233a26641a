"""The wiring room: the only place that knows adapters.

In it: `opening` (runs made and reopened) and `worker` (what a worker has, and `run_task`).
"""
