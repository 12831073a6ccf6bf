#!/usr/bin/env python3
"""Compares the scalars of event files, read by TensorBoard, with the lines of `trainer_log.jsonl`.

    check_events.py RUN...

Each RUN is a folder with `trainer_log.jsonl` and `runs`. Values must be equal as float32, bit for bit.
"""
import json
import struct
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CURVES = {"train/loss": "loss", "train/learning_rate": "lr", "train/grad_norm": "grad_norm"}


def f32(value):
    return struct.pack("<f", value)


def main():
    assert len(sys.argv) > 1, "no run to look at"
    for run in map(Path, sys.argv[1:]):
        log = [json.loads(line) for line in (run / "trainer_log.jsonl").read_text().splitlines()]
        assert log, f"{run}: the log is empty"
        reader = EventAccumulator(str(run / "runs"), size_guidance={"scalars": 0})
        reader.Reload()
        tags = set(reader.Tags()["scalars"])
        assert tags == set(CURVES), f"{run}: curves {sorted(tags)}, expected {sorted(CURVES)}"
        for tag, key in CURVES.items():
            found = [(e.step, f32(e.value)) for e in reader.Scalars(tag)]
            wanted = [(line["current_steps"], f32(line[key])) for line in log if line.get(key) is not None]
            assert wanted, f"{run}: the log has no {key}"
            assert found == wanted, f"{run}: {tag} differs from the log"
        print(f"{run.name}: {len(CURVES)} curves of {len(log)} steps equal")


if __name__ == "__main__":
    main()
