#!/usr/bin/env python3
"""Loads adapters that `parity --save-adapters` wrote with PEFT, on transformers' own models, and compares the answers.

    check_adapters.py DIR OUT [DIR OUT]...

DIR: a folder of reference data. OUT: what the program wrote for it: `adapters/VARIANT` and `adapters.safetensors` with our
logits. One line for each folder: its name, the number of adapters, the worst difference as a share of what is allowed.
"""
import copy
import json
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForImageTextToText
from transformers.utils import logging

INPUTS = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw", "mm_token_type_ids", "token_type_ids",
          "pixel_attention_mask", "spatial_shapes", "image_sizes", "batch_num_images")
TAIL = 12  # logits of so many positions are compared


def answers(model, kind, inputs):
    for module in model.modules():
        if hasattr(module, "rope_deltas"):
            module.rope_deltas = None
    with torch.no_grad():
        if kind == "dual":
            return model(**inputs).logits_per_image
        logits = model(**inputs, use_cache=False).logits
    return torch.stack([row[mask.bool()][-TAIL:] for row, mask in zip(logits, inputs["attention_mask"])])


def check(folder, out):
    told = json.loads((folder / "expected.json").read_text())
    kind, tensors = told["kind"], load_file(folder / "expected.safetensors")
    batch = told["train"].get("batch", "train") + "/"
    inputs = {name: tensors[batch + name] for name in INPUTS if batch + name in tensors}
    inputs = {k: v.bool() if k == "pixel_attention_mask" and kind == "vlm" else v for k, v in inputs.items()}
    loader = AutoModel if kind == "dual" else AutoModelForImageTextToText
    base = loader.from_pretrained(folder / "model", dtype=torch.float32).eval()
    plain = answers(base, kind, inputs)
    ours = load_file(out / "adapters.safetensors")
    variants = sorted(p.name for p in (out / "adapters").iterdir())
    assert variants and {f"lora/{v}/logits_tail" for v in variants} == set(ours), "adapters and logits differ"
    missed = set(told["lora"]) - set(variants)
    assert not missed, f"not written: {missed}"
    worst = 0.0
    for variant in variants:
        written = load_file(out / "adapters" / variant / "adapter_model.safetensors")
        with warnings.catch_warnings():
            # PEFT says with a warning which keys it misses or does not know.
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", FutureWarning)
            warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
            model = PeftModel.from_pretrained(copy.deepcopy(base), out / "adapters" / variant).eval()
            loaded = get_peft_model_state_dict(model, save_embedding_layers=False)
        assert written.keys() == loaded.keys(), f"{variant}: keys differ: {sorted(written.keys() ^ loaded.keys())[:6]}"
        for name, value in written.items():
            assert torch.equal(value, loaded[name]), f"{variant}: {name} was not loaded"
        found, expected = answers(model.base_model.model, kind, inputs), ours[f"lora/{variant}/logits_tail"]
        scale = found.abs().max().item()
        change = (found - plain).abs().max().item()
        assert change > 1e-3 * scale, f"{variant}: changes the logits by {change} only"
        off = (found - expected).abs().max().item() / (1e-4 * scale + 1e-6)
        assert off <= 1, f"{variant}: logits differ by {off:.2f} times what is allowed"
        worst = max(worst, off)
    return len(variants), worst


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    failed = False
    for folder, out in zip(map(Path, sys.argv[1::2]), map(Path, sys.argv[2::2])):
        try:
            count, worst = check(folder, out)
            print(f"{folder.name} {count} {worst:.3f}", flush=True)
        except Exception as e:
            print(f"{folder.name} FAILED {type(e).__name__}: {e}", flush=True)
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
