"""A broker and a client on an address that is not loopback, in a network namespace of their own.

Run by test_plaintext.py under `unshare --net`: `python other_machine.py FOLDER`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from brokers import Mosquitto, wait_acknowledged

from edgevision.config.mqtt import MqttConfig
from edgevision.mqtt.client import MqttClient
from edgevision.mqtt.message import Message

ADDRESS = "10.77.0.1"


def main() -> None:
    for command in (["link", "set", "lo", "up"], ["addr", "add", f"{ADDRESS}/32", "dev", "lo"]):
        subprocess.run(["ip", *command], check=True)
    broker = Mosquitto(Path(sys.argv[1]))
    broker.settings = [f"listener 1883 {ADDRESS}", "allow_anonymous true"]
    broker.start()
    try:
        client = MqttClient(MqttConfig(host=ADDRESS, allow_plaintext=True), client_id="a")
        client.start()
        client.wait_connected(20)
        wait_acknowledged(client, Message("t/fact", b"1", qos=1))
        sys.stdout.write(f"{client.address} acknowledged\n")
        client.stop()
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
