"""What is known of one object from all frames in which it was seen."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from edgevision.clock import NS_PER_S
from edgevision.tracking.footpath import FootPath
from edgevision.tracking.geometry import clip_box
from edgevision.tracking.sighting import Sighting
from edgevision.tracking.stillness import Stillness

if TYPE_CHECKING:
    from edgevision.tracking.sighting import Moment
    from edgevision.tracks import Track


class History:
    """The past of one object, from the first frame in which it is seen as a confirmed track.

    Attributes:
        started_at: time of day of its first frame, UTC. The track may be older than the first
            frame that comes here, so it is counted back from there; it never changes.
        sighting: the last frame in which it was seen.
        path: where its foot was.
        stillness: whether it is at rest.
    """

    def __init__(self, track: Track, when: Moment, stationary_after_s: float) -> None:
        """Begin with the first frame in which it is seen."""
        self._begun_ns = track.begun_ns
        self.started_at = when.at - timedelta(seconds=(when.now_ns - track.begun_ns) / NS_PER_S)
        self.stillness = Stillness(stationary_after_s)
        self.path = FootPath()
        self.sighting = self._see(track, when, track.score)

    def see(self, track: Track, when: Moment) -> None:
        """Take the next frame in which it is seen."""
        self.sighting = self._see(track, when, max(self.sighting.top_score, track.score))

    @property
    def duration_s(self) -> float:
        """Return the monotonic seconds from its first frame to the last in which it was seen."""
        return (self.sighting.when.now_ns - self._begun_ns) / NS_PER_S

    def _see(self, track: Track, when: Moment, top_score: float) -> Sighting:
        sighting = Sighting(
            label=track.label,
            score=track.score,
            top_score=top_score,
            box_frac=clip_box(track.box_frac),
            when=when,
        )
        self.stillness.see(sighting.box_frac, when.now_ns)
        self.path.see(sighting)
        return sighting
