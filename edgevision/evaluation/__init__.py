"""Proving and measuring: replays, golden files, accuracy and speed.

Imports `pipeline`, the rooms below it, and the encoder of `mqtt`.
"""
