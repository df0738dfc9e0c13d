"""The benchmarks: one table of peers, one list of cases a group, one runner, one report.

README.md beside this file says how it works and how to add a group. Nothing here is installed.
"""
