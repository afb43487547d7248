"""The figures that are published at intervals, of each camera and of the board."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.clock import NS_PER_S
from edgevision.messaging.payloads import BoardMetricsMessage, DroppedRecord
from edgevision.service.board import Board

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgevision.capture.slots import FrameSlots
    from edgevision.clock import Clock
    from edgevision.service.cameras import Camera
    from edgevision.service.inferring import Job
    from edgevision.service.uplink import Uplink


class Telemetry:
    """Publishes metrics when they are due."""

    def __init__(self, clock: Clock) -> None:
        """Begin the service's uptime and the first interval now."""
        self._clock = clock
        self._board = Board()
        self._started_ns = self._sent_ns = clock.monotonic_ns()

    def publish_due(
        self,
        uplink: Uplink,
        cameras: Iterable[Camera],
        slots: FrameSlots[Job],
        *,
        interval_s: float,
    ) -> None:
        """Publish if the interval has passed; a late one does not hurry the next."""
        now_ns, interval_ns = self._clock.monotonic_ns(), round(interval_s * NS_PER_S)
        if now_ns - self._sent_ns >= interval_ns:
            self._sent_ns = max(self._sent_ns + interval_ns, now_ns - interval_ns)
            self.publish(uplink, cameras, slots)

    def publish(self, uplink: Uplink, cameras: Iterable[Camera], slots: FrameSlots[Job]) -> None:
        """Publish the metrics of every enabled camera, then those of the board."""
        now_ns, at = self._clock.monotonic_ns(), self._clock.wall()
        device, unpublished = uplink.writers.service.device, uplink.lost
        for camera in cameras:
            metrics = camera.metrics(
                device=device, overwritten=slots.overwritten(camera.name), at=at, now_ns=now_ns
            )
            if metrics is not None:
                unpublished += metrics.frames.unpublished
                uplink.telemetry(uplink.writers.service.camera_metrics(metrics))
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
        uplink.telemetry(uplink.writers.service.board_metrics(board))
