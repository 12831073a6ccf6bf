#!/usr/bin/env python3
"""Reads a folder of event files with TensorBoard's own reader and compares it with what was meant to be in it.

    check_events.py FOLDER EXPECTED.json

EXPECTED.json: {"tag": [[step, value], ...], ...}; values are compared as float32, null stands for NaN.
Exit code 0 when equal. Needs the package `tensorboard`.
"""
import json
import math
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def f32(value):
    if value is None:
        return math.nan
    return struct.unpack("<f", struct.pack("<f", value))[0]


def main():
    folder, expected_path = sys.argv[1:]
    with open(expected_path) as file:
        expected = json.load(file)
    reader = EventAccumulator(folder, size_guidance={"scalars": 0})
    reader.Reload()
    tags = sorted(reader.Tags()["scalars"])
    assert tags == sorted(expected), f"tags {tags}, expected {sorted(expected)}"
    for tag, points in expected.items():
        found = [(e.step, e.value) for e in reader.Scalars(tag)]
        wanted = [(step, f32(value)) for step, value in points]
        same = len(found) == len(wanted) and all(
            a[0] == b[0] and (a[1] == b[1] or math.isnan(a[1]) and math.isnan(b[1])) for a, b in zip(found, wanted)
        )
        assert same, f"{tag}: found {found}, expected {wanted}"
        assert all(e.wall_time > 1.7e9 for e in reader.Scalars(tag))
    print(f"{len(expected)} curves equal")


if __name__ == "__main__":
    main()
