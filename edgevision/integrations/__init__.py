"""The MQTT contract in the dialects of other programs: Home Assistant and Frigate.

Imports `mqtt` and `config`.
"""
