"""The board's own figures: load, memory, temperature, throttling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

THERMAL_ZONE = Path("/sys/class/thermal/thermal_zone0/temp")
THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")

# Bits of the Raspberry Pi firmware's get_throttled value (documentation of vcgencmd).
_THROTTLED_BITS = {
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}


@dataclass(frozen=True, slots=True)
class BoardReading:
    """One look at the board.

    Attributes:
        cpu_percent: all cores together, since the last look.
        process_cpu_percent: this process, 100 is one core, since the last look.
        memory_percent: of the board's memory.
        process_memory_bytes: resident memory of this process.
        soc_temperature_c: None without a sensor.
        throttled: None on boards other than a Raspberry Pi.
    """

    cpu_percent: float
    process_cpu_percent: float
    memory_percent: float
    process_memory_bytes: int
    soc_temperature_c: float | None
    throttled: tuple[str, ...] | None


class Board:
    """Reads the board's figures."""

    def __init__(self) -> None:
        """Take the first look, which CPU percentages are relative to."""
        self._process = psutil.Process()
        self._process.cpu_percent()
        psutil.cpu_percent()

    def read(self) -> BoardReading:
        """Take a look."""
        return BoardReading(
            cpu_percent=psutil.cpu_percent(),
            process_cpu_percent=self._process.cpu_percent(),
            memory_percent=psutil.virtual_memory().percent,
            process_memory_bytes=self._process.memory_info().rss,
            soc_temperature_c=read_temperature_c(THERMAL_ZONE),
            throttled=read_throttled(THROTTLED),
        )


def read_temperature_c(path: Path) -> float | None:
    """Return a thermal zone's degrees Celsius; the kernel gives thousandths."""
    try:
        return int(path.read_text(encoding="ascii")) / 1000
    except (OSError, ValueError):
        return None


def read_throttled(path: Path) -> tuple[str, ...] | None:
    """Return what the Raspberry Pi's firmware says slows it down; the file holds hex."""
    try:
        bits = int(path.read_text(encoding="ascii"), 16)
    except (OSError, ValueError):
        return None
    return tuple(words for bit, words in _THROTTLED_BITS.items() if bits >> bit & 1)
