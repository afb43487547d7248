"""The metrics that are published at intervals: of each camera, and of the board.

Of the board: load, memory, temperature, throttling.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from edgevision.clock import NS_PER_S
from edgevision.mqtt.payloads import BoardMetricsMessage, DroppedRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgevision.clock import Clock
    from edgevision.daemon.uplink import Uplink
    from edgevision.pipeline.camera_pipeline import PreparedFrame
    from edgevision.pipeline.cameras import Camera
    from edgevision.pipeline.threads import FrameSlots

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


class MetricsPublisher:
    """Publishes metrics when they are due."""

    def __init__(self, clock: Clock) -> None:
        """Start the service's uptime and the first interval now."""
        self._clock = clock
        self._board = Board()
        self._started_ns = self._sent_ns = clock.monotonic_ns()

    def publish_due(
        self,
        uplink: Uplink,
        cameras: Iterable[Camera],
        slots: FrameSlots[PreparedFrame],
        *,
        interval_s: float,
    ) -> None:
        """Publish if the interval has passed; a late one does not bring the next forward."""
        now_ns, interval_ns = self._clock.monotonic_ns(), round(interval_s * NS_PER_S)
        if now_ns - self._sent_ns >= interval_ns:
            self._sent_ns = max(self._sent_ns + interval_ns, now_ns - interval_ns)
            self.publish(uplink, cameras, slots)

    def publish(
        self, uplink: Uplink, cameras: Iterable[Camera], slots: FrameSlots[PreparedFrame]
    ) -> None:
        """Publish the metrics of every enabled camera, then those of the board."""
        now_ns, at = self._clock.monotonic_ns(), self._clock.wall()
        device, unpublished = uplink.encoder.device, uplink.lost
        for camera in cameras:
            metrics = camera.metrics(
                overwritten=slots.overwritten(camera.name), at=at, now_ns=now_ns
            )
            if metrics is not None:
                unpublished += metrics.frames.unpublished
                uplink.telemetry(uplink.encoder.camera_metrics(metrics))
        reading = self._board.read()
        board = BoardMetricsMessage(
            device=device,
            measured_at=at,
            uptime_s=round((now_ns - self._started_ns) / NS_PER_S, 3),
            cpu_percent=reading.cpu_percent,
            process_cpu_percent=reading.process_cpu_percent,
            memory_percent=reading.memory_percent,
            process_memory_bytes=reading.process_memory_bytes,
            soc_temperature_c=reading.soc_temperature_c,
            throttled=reading.throttled,
            outbox_depth=uplink.outbox.depth,
            outbox_bytes=uplink.outbox.bytes,
            outbox_storage=uplink.outbox.storage,
            outbox_dropped=DroppedRecord(**uplink.outbox.dropped),
            outbox_refused=uplink.outbox.refused,
            unpublished=unpublished,
            mqtt_reconnects=uplink.reconnects,
        )
        uplink.telemetry(uplink.encoder.board_metrics(board))


@dataclass(frozen=True, slots=True)
class BoardReading:
    """One reading of the board.

    Attributes:
        cpu_percent: all cores together, since the last reading.
        process_cpu_percent: this process, 100 is one core, since the last reading.
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
    """Reads load, memory, temperature and throttling of the board."""

    def __init__(self) -> None:
        """Take the first reading, from which CPU percentages count."""
        self._process = psutil.Process()
        self._process.cpu_percent()
        psutil.cpu_percent()

    def read(self) -> BoardReading:
        """Return a reading."""
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
    """Return why the Raspberry Pi's firmware slows it down; None elsewhere. The file holds hex."""
    try:
        bits = int(path.read_text(encoding="ascii"), 16)
    except (OSError, ValueError):
        return None
    return tuple(text for bit, text in _THROTTLED_BITS.items() if bits >> bit & 1)
