"""The path of a frame from its camera to a result, and the threads it goes through.

Imports the rooms that a frame goes through; knows neither MQTT nor the daemon.
"""
