"""Receivers of frames, results, events and changes of state, one file each.

Imports `config` and the files at the top only; the daemon hands in what a sink may ask for.
"""
