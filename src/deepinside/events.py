"""Reads the curves that TensorBoard's event files hold, without torch.

TensorBoard's own reader computes checksums in Python, seconds for a run's pictures. Here they are not looked at.
"""

import os
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

Curves = dict[str, list[tuple[int, float]]]


def read_scalars(folder: Path) -> Curves:
    """{tag: [(step, value), ...]} of all event files in the folder, steps ascending; a step that was logged again, by a
    resumed run, has its last value, and what it says is lost is left out. {} where there are none. A file ends where a
    killed run left half an event, or where it is damaged; one that cannot be read is left out."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for path in sorted(folder.glob("events.out.tfevents.*")):  # by their names: by time
        for event in _events(path):
            if event.session_log.status == SessionLog.START:
                for curve in found.values():
                    for lost in [step for step in curve if step >= event.step]:
                        del curve[lost]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found[value.tag][event.step] = value.simple_value
    return {tag: sorted(values.items()) for tag, values in found.items() if values}


def _events(path: Path) -> Iterator[Event]:
    """A record: its length as uint64, a checksum of 4 bytes, the event, a checksum of 4 bytes."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while len(head := file.read(12)) == 12:
                (length,) = struct.unpack("<Q", head[:8])
                if length > size - file.tell() - 4:
                    return
                yield Event.FromString(file.read(length))
                file.read(4)
    except (OSError, DecodeError):
        return
