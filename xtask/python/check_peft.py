#!/usr/bin/env python3
"""Loads what the main job wrote with transformers and PEFT, and asks the same questions.

    check_peft.py OUTPUT DIGITS.safetensors BASE TUNED

OUTPUT: folder with `base-model` and `adapter`. BASE and TUNED: the accuracies that the main job printed.
"""
import sys
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoProcessor, LlavaForConditionalGeneration

WORDS = "zero one two three four five six seven eight nine ten".split()
QUESTION = "Which number comes next?"
TEST = 360  # the last ones, as the main job splits them
BATCH = 60


def pictures(path):
    data = load_file(path)
    grey = (data["images"][-TEST:].float() * 15.9375).to(torch.uint8).numpy()
    images = [Image.fromarray(g).convert("RGB").resize((16, 16), Image.Resampling.BICUBIC) for g in grey]
    return images, data["labels"][-TEST:].tolist()


def prepare(processor, images):
    message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    text = processor.apply_chat_template(message, add_generation_prompt=True)
    batch = processor(images=images, text=[text] * len(images), return_tensors="pt")
    bos = processor.tokenizer.bos_token_id
    assert batch["input_ids"][0, 0] == bos, f"the prompt does not begin with <s>: {batch['input_ids'][0].tolist()}"
    assert batch["input_ids"][0, 1] != bos, "the prompt begins with two <s>"
    return batch


@torch.no_grad()
def accuracy(model, processor, images, labels):
    right = 0
    for i in range(0, len(images), BATCH):
        batch = prepare(processor, images[i : i + BATCH])
        out = model.generate(**batch, max_new_tokens=8, do_sample=False)
        new = out[:, batch["input_ids"].shape[1] :]
        said = [s.strip() for s in processor.tokenizer.batch_decode(new, skip_special_tokens=True)]
        right += sum(s == WORDS[label + 1] for s, label in zip(said, labels[i : i + BATCH]))
    return right / len(images)


def near(what, theirs, ours):
    # Ours is printed with two digits; one picture of a tie may fall either way.
    assert abs(theirs - ours) <= 0.005 + 1 / TEST + 1e-9, f"{what}: transformers {theirs:.4f}, the main job {ours:.2f}"
    print(f"{what}: {theirs:.4f} with transformers, {ours:.2f} with vlm")


def main():
    output, digits, base_accuracy, tuned_accuracy = sys.argv[1:]
    output = Path(output)
    model, info = LlavaForConditionalGeneration.from_pretrained(
        output / "base-model", dtype=torch.float32, output_loading_info=True
    )
    for kind in ["missing_keys", "unexpected_keys", "mismatched_keys"]:
        assert not info[kind], f"base-model has {kind}: {info[kind]}"
    model.eval()
    processor = AutoProcessor.from_pretrained(output / "base-model")
    images, labels = pictures(digits)
    near("base", accuracy(model, processor, images, labels), float(base_accuracy))
    batch = prepare(processor, images[:4])
    with torch.no_grad():
        before = model(**batch).logits

    tuned = PeftModel.from_pretrained(model, output / "adapter").eval()
    written = load_file(output / "adapter" / "adapter_model.safetensors")
    loaded = get_peft_model_state_dict(tuned)
    assert written.keys() == loaded.keys(), f"keys differ: {sorted(written.keys() ^ loaded.keys())[:6]}"
    for name, value in written.items():
        assert torch.equal(value, loaded[name]), f"{name} was not loaded"
    with torch.no_grad():
        change = (tuned(**batch).logits - before).abs().max().item()
    assert change > 1e-2, f"the adapter changes the logits by {change} only"
    near("tuned", accuracy(tuned, processor, images, labels), float(tuned_accuracy))
    print(f"{len(written)} adapter tensors loaded; logits change by up to {change:.3f}")


if __name__ == "__main__":
    main()
