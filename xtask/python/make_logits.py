#!/usr/bin/env python3
"""Writes what transformers makes of logits under many generation settings, for `vlm-core/tests/logits.rs`.

    make_logits.py OUT.json

The processors are those that `generate` itself builds from a GenerationConfig.
"""
import json
import random
import sys

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

VOCABULARY = 24
END = [3, 7]
SETTINGS = [
    {},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3, "repetition_penalty": 1.1},
    {"no_repeat_ngram_size": 1},
    {"min_new_tokens": 4},
    {"do_sample": True, "temperature": 0.7, "top_k": 0},
    {"do_sample": True, "temperature": 1.0, "top_k": 50},
    {"do_sample": True, "temperature": 1.0, "top_k": 5},
    {"do_sample": True, "temperature": 1.0, "top_k": 1},
    {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 0.9},
    {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 0.3},
    {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 0.01},
    {"do_sample": True, "temperature": 1.0, "top_k": 0, "min_p": 0.1},
    {"do_sample": True, "temperature": 1.0, "top_k": 0, "min_p": 0.9},
    {"do_sample": True, "temperature": 0.5, "top_k": 10, "top_p": 0.8, "min_p": 0.05, "repetition_penalty": 1.2},
    {"do_sample": True, "temperature": 1.7, "top_k": 7, "top_p": 0.95, "no_repeat_ngram_size": 2, "min_new_tokens": 6},
]


def main():
    rng = random.Random(20261)
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                         num_attention_heads=1, num_key_value_heads=1)
    model = LlamaForCausalLM(config)
    cases = []
    for settings in SETTINGS:
        for new in [0, 3, 6]:
            prompt = [rng.randrange(VOCABULARY) for _ in range(rng.randint(1, 9))]
            seen = prompt + [rng.randrange(VOCABULARY) for _ in range(new)]
            # Some equal values: which of them stay is part of the rule.
            logits = [round(rng.gauss(0, 3), 1) for _ in range(VOCABULARY)]
            told = GenerationConfig(eos_token_id=END, pad_token_id=0, max_new_tokens=20, **settings)
            model._prepare_special_tokens(told, device=torch.device("cpu"))
            processors = model._get_logits_processor(
                generation_config=told, input_ids_seq_length=len(prompt), encoder_input_ids=None,
                prefix_allowed_tokens_fn=None, logits_processor=[],
            )
            out = processors(torch.tensor([seen]), torch.tensor([logits]))[0].tolist()
            out = [None if v == float("-inf") else round(v, 6) for v in out]
            cases.append({"settings": {**settings, "eos_token_id": END}, "seen": seen, "new": new, "logits": logits, "out": out})
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
