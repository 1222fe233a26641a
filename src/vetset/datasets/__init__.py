"""Datasets: one module for each format, all behind `ports.Dataset`.

In it: finding the shards of a dataset, reading their rows, looking rows up, writing shards back without some rows.
Not in it: what is done with a row. Rules: no value of a row leaves but sealed; no library's message leaves at all.
"""
