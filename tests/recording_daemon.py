"""`edgevision run` with a thread that records numbered events and notes those that are stored.

    python recording_daemon.py CONFIG LEDGER RUN

Each line of the ledger is an event that `Publisher.flush` said is on the disk: `object run number`.
Those are what must arrive.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from pathlib import Path

from edgevision.config.loader import load_config
from edgevision.daemon.daemon import Daemon
from edgevision.mqtt.message import Message

OBJECTS = 4
PAUSE_S = 0.004


def main(config_file: str, ledger_file: str, run: int) -> None:
    config = load_config(Path(config_file), {})
    daemon = Daemon(config)
    daemon.listen_to_signals()
    dice = random.Random(run)  # noqa: S311 - repeatable
    ledger = os.open(ledger_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def record() -> None:
        publisher = daemon.uplink._publisher
        number = 0
        while True:
            lines = []
            for _ in range(dice.randint(1, 5)):
                number += 1
                key = (dice.randrange(OBJECTS), run, number)
                body = {"schema_version": 1, "key": key, "id": "{}-{}-{}".format(*key)}
                body["padding"] = "x" * dice.choice([10, 100, 300, 3000])
                topic = f"{config.prefix}/yard/events"
                publisher.record(Message(topic, json.dumps(body).encode(), qos=1))
                lines.append("{} {} {}\n".format(*key))
            if publisher.flush(5.0):
                os.write(ledger, "".join(lines).encode())
                os.fsync(ledger)
            time.sleep(PAUSE_S)

    threading.Thread(target=record, daemon=True).start()
    daemon.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
