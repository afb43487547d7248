"""Multi-object tracking: stable numbers for the objects of one camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.boxes import iou
from edgevision.clock import NS_PER_S
from edgevision.tracking.appearance import observe
from edgevision.tracking.association import associate
from edgevision.tracking.target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.config.camera import DetectionConfig, TrackingConfig
    from edgevision.events import Track
    from edgevision.frames import U8, DetectedObject
    from edgevision.tracking.appearance import Observation

# Least support for the first association (a score of 0.48 where 0.40 is published), and for
# starting an object (0.42).
CONFIDENT_SUPPORT = 0.3
BIRTH_SUPPORT = 0.1

# A detection that overlaps a seen object of its label by more than this is not a second object.
DUPLICATE_IOU = 0.3

# An object that is not confirmed yet may be out of sight for this long, or for one frame if that
# is longer.
TENTATIVE_NS = NS_PER_S * 2 // 5
MISSED_FRAMES = 1.5

# In a still scene, an object seen this shortly before the last inferred frame was only missed.
STILL_THERE_NS = NS_PER_S

# More objects than any detector returns; beyond it those not seen for the longest are dropped.
MAX_TARGETS = 400


class Tracker:
    """Tracks the objects of one camera, all labels together.

    Association in two stages (Zhang et al. 2022, "ByteTrack"): confident detections are assigned
    to the objects they match best, then weak ones to confirmed objects that got none. A detection
    left over that is not a second box on an object starts a new one.

    An object is confirmed by three detections over a quarter of a second whose mean score is
    above `detection.min_score_of`. All durations are seconds of the frames' monotonic stamps, so a
    board at half the frame rate sees the same objects.

    Attributes:
        dropped: objects dropped because there were too many.
    """

    def __init__(self, detection: DetectionConfig, tracking: TrackingConfig) -> None:
        """Start without objects.

        Args:
            detection: minimum scores by label.
            tracking: how long an object may be out of sight before it ends.
        """
        self.dropped = 0
        self._detection = detection
        self._lost_after_ns = round(tracking.lost_after_s * NS_PER_S)
        self._targets: list[Target] = []
        self._aspect = 1.0
        self._now_ns = self._inferred_ns = 0
        self._last_number = 0

    def step(
        self,
        found: Sequence[DetectedObject],
        image: U8 | None,
        frame_size_px: tuple[int, int],
        now_ns: int,
    ) -> tuple[Track, ...]:
        """Add a frame.

        Args:
            found: all detections down to `detection.weak_score_of`; weaker ones are ignored.
            image: uint8 [height, width, 3] BGR, [h, w] or [h, w, 1] grey, or [h, w, 4] BGRA;
                None: looks are not compared.
            frame_size_px: (width, height). Objects do not outlive a change of its aspect ratio.
            now_ns: monotonic stamp of the frame; never goes back.

        Returns:
            The confirmed objects, by number: those that are seen, and those that are not but may
            reappear. An object that is missing here has ended; its number is not used again.
        """
        aspect = frame_size_px[0] / frame_size_px[1]
        if aspect != self._aspect:
            self._targets.clear()
            self._aspect = aspect
        interval_ns = self._advance(now_ns)
        self._inferred_ns = now_ns
        observations = observe(found, image, frame_size_px, self._detection)
        confident = [one for one in observations if one.support >= CONFIDENT_SUPPORT]
        weak = [one for one in observations if one.support < CONFIDENT_SUPPORT]
        free = self._match(self._targets, confident)
        hidden = [one for one in self._targets if one.number and not one.seen]
        free += self._match(hidden, weak)
        self._confirm()
        self._start(free)
        self._end(interval_ns)
        return self._tracks()

    def keep(self, now_ns: int) -> tuple[Track, ...]:
        """Add a frame of a still scene that was not inferred: what was seen is still there.

        Args:
            now_ns: monotonic stamp of the frame.

        Returns:
            As `step` does. Objects seen within a second before the last inferred frame are seen,
            at rest.
        """
        still = [one for one in self._targets if self._inferred_ns - one.seen_ns <= STILL_THERE_NS]
        interval_ns = self._advance(now_ns)
        for one in still:
            one.rest(now_ns)
        self._end(interval_ns)
        return self._tracks()

    def _advance(self, now_ns: int) -> int:
        """Predict every object; return the nanoseconds since the last frame."""
        interval_ns = max(0, now_ns - self._now_ns)
        for one in self._targets:
            one.advance(self._now_ns, interval_ns)
        self._now_ns = now_ns
        return interval_ns

    def _match(self, targets: Sequence[Target], found: Sequence[Observation]) -> list[Observation]:
        """Assign detections to objects; return those left over."""
        pairs = associate(targets, found, self._now_ns)
        for pair in pairs:
            targets[pair.row].observe(found[pair.column], self._now_ns)
        taken = {pair.column for pair in pairs}
        return [one for index, one in enumerate(found) if index not in taken]

    def _confirm(self) -> None:
        for one in self._targets:
            if not one.number and one.seen and one.is_convincing:
                self._last_number += 1
                one.number = self._last_number

    def _start(self, free: Sequence[Observation]) -> None:
        for one in free:
            if one.support < BIRTH_SUPPORT:
                continue
            is_duplicate = any(
                iou(one.place.box, target.place.box) > DUPLICATE_IOU
                for target in self._targets
                if target.seen and target.label in one.votes
            )
            if not is_duplicate:
                self._targets.append(Target(one, self._now_ns))

    def _end(self, interval_ns: int) -> None:
        tentative_ns = max(TENTATIVE_NS, MISSED_FRAMES * interval_ns)
        self._targets = [
            one
            for one in self._targets
            if one.seen
            or self._now_ns - one.seen_ns <= (self._lost_after_ns if one.number else tentative_ns)
        ]
        if len(self._targets) > MAX_TARGETS:
            self._targets.sort(key=lambda one: (-one.seen_ns, -one.support))
            self.dropped += len(self._targets) - MAX_TARGETS
            del self._targets[MAX_TARGETS:]

    def _tracks(self) -> tuple[Track, ...]:
        tracks = [one.track(self._aspect) for one in self._targets if one.number]
        return tuple(sorted(tracks, key=lambda track: track.number))
