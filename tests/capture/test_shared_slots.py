from __future__ import annotations

import os
import socket
from typing import Any

import numpy as np
import pytest

from edgevision.capture.protocol import Skipped
from edgevision.capture.worker import SLOTS, Slots
from edgevision.capture.worker_protocol import (
    Handed,
    Layout,
    OpenRequest,
    Ready,
    Returned,
    SlotMemory,
    receive,
    send,
)
from edgevision.errors import BadFrameError


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(30)
    theirs.settimeout(30)
    return ours, theirs


def test_what_one_process_writes_the_other_reads() -> None:
    layout = Layout(1, 4, 6, 3, 2)
    written, descriptor = SlotMemory.create(layout)
    read = SlotMemory(layout, descriptor, writable=False)
    os.close(descriptor)
    written.view(1)[:] = 7
    assert read.view(1).shape == (4, 6, 3)
    assert (read.view(1) == 7).all()
    assert not read.view(0).any()


@pytest.mark.parametrize(
    "layout",
    [
        Layout(1, 5, 6, 3, 2),
        Layout(1, 4, 6, 3, 3),
        Layout(1, 0, 6, 3, 2),
        Layout(1, 4, 6, 2, 2),
        Layout(1, 4, -6, 3, 2),
        Layout(1, 16385, 1, 1, 1),
        Layout(1, 16384, 16384, 3, 1),
        Layout(1, 4, 6, 3, 1000),
    ],
)
def test_a_layout_that_does_not_fit_its_memory_or_is_impossible_is_refused(layout: Layout) -> None:
    _, descriptor = SlotMemory.create(Layout(1, 4, 6, 3, 2))
    with pytest.raises(ValueError, match="expected"):
        SlotMemory(layout, descriptor, writable=False)
    os.close(descriptor)


def test_memory_that_could_shrink_under_the_reader_is_refused() -> None:
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, 1000)
    with pytest.raises(ValueError, match="can shrink"):
        SlotMemory(Layout(1, 4, 6, 3, 2), descriptor, writable=False)
    os.close(descriptor)


@pytest.mark.parametrize(
    "record",
    [OpenRequest("stream", "rtsp://ü@h/", "rtsp://***@h/", fps=2.5), Ready(), Returned(2, 4)],
)
def test_a_record_arrives_as_it_was_sent(record: Any) -> None:
    ours, theirs = pair()
    with ours, theirs:
        send(ours, record)
        assert receive(theirs) == (record, None)


@pytest.mark.parametrize(
    "packet", [b"{", b"[]", b'{"record": "Nothing"}', b'{"record": "Ready", "x": 1}', b"x" * 70000]
)
def test_a_packet_that_is_not_a_record_is_refused(packet: bytes) -> None:
    ours, theirs = pair()
    with ours, theirs:
        ours.send(packet)
        with pytest.raises(ValueError, match="expected a"):
            receive(theirs)


def test_the_end_of_the_other_side_is_not_a_record() -> None:
    ours, theirs = pair()
    ours.close()
    with theirs:
        assert receive(theirs) == (None, None)


def test_a_request_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(OpenRequest("stream", "rtsp://u:hunter2@h/", "rtsp://***@h/"))


class Growing:
    """A camera whose pictures grow; every tenth cannot be decoded."""

    def __init__(self) -> None:
        self.number = 0

    def grab(self) -> None:
        self.number += 1

    def retrieve(self, _into: Any = None) -> Any:
        if self.number % 10 == 0:
            msg = "no picture"
            raise BadFrameError(msg)
        side = 8 if self.number < 25 else 16
        return np.full((side, side, 3), self.number, np.uint8)


def test_slots_follow_a_change_of_size_and_account_for_every_frame() -> None:
    ours, theirs = pair()
    slots, camera = Slots(theirs), Growing()
    taken: list[tuple[int, int]] = []  # pixel value and height
    skipped, layouts = Skipped(), 0
    with ours, theirs:
        for number in range(1, 41):
            camera.grab()
            try:
                slots.capture(camera, number, number)
            except BadFrameError:
                continue
            if number % 4 == 1:  # what the listening thread does with Ready
                slots._wanted += 1
                slots._hand_over()
                record, descriptor = receive(ours)
                if isinstance(record, Layout):
                    assert descriptor is not None
                    memory = SlotMemory(record, descriptor, writable=False)
                    os.close(descriptor)
                    layouts += 1
                    assert record.slots == SLOTS
                    record, _ = receive(ours)
                assert isinstance(record, Handed)
                image = memory.view(record.slot)
                taken.append((int(image[0, 0, 0]), image.shape[0]))
                skipped = Skipped(
                    skipped.overwritten + record.overwritten, skipped.unusable + record.unusable
                )
                slots._free.add(record.slot)
    assert taken == [(number, 8 if number < 25 else 16) for number in range(1, 41, 4)]
    assert layouts == 2
    assert skipped.unusable == 3
    assert len(taken) + skipped.overwritten + skipped.unusable == 37  # all up to the last taken
