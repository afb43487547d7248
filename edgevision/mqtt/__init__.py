"""The MQTT contract and the client that keeps it."""
