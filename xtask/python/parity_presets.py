#!/usr/bin/env python3
"""Other models than those of the development set, for the same comparison.

    parity_presets.py MAKE_FIXTURES OUT [NAME...] [--seed N] [--list] [--verify]

MAKE_FIXTURES: the generator of the reference data. OUT/NAME becomes a folder like those it writes. A variant is a family
with other settings: sizes that do not divide, other heads, ranks and windows, other language models, what published
configurations have and the development set has not. With --verify each folder is also loaded back by transformers.
"""
import argparse
import copy
import importlib.util
import json
import sys
from pathlib import Path

# What every family tries, besides what a variant adds.
LORA = {
    "all_rs_dora": dict(r=3, lora_alpha=5, target_modules="all-linear", use_rslora=True, use_dora=True),
    "bias_all": dict(r=2, lora_alpha=3, target_modules=["v_proj", "o_proj", "qkv", "fc2"], bias="all"),
}
LLM = "model.language_model"


def regex(where=LLM):
    return dict(r=5, lora_alpha=2, target_modules=r".*%s\.layers\.\d+\.(self_attn\.(q|o)|mlp\.up)_proj" % where.replace(".", r"\."),
                rank_pattern={"up_proj": 1, r"layers\.0\.self_attn\.q_proj": 7}, alpha_pattern={"q_proj": 9})


VARIANTS = {}


# Pictures of other sizes and shapes, JPEGs that end inside of a block.
PICTURES = dict(photo=(101, 67), odd=(5, 160), tiny=(2, 3), line=(1, 190), wide=(640, 5), rgba=(33, 77), gray=(128, 31), gray16=(20, 20), palette=(61, 19), bilevel=(8, 64),
                exif=(45, 83), cmyk=(77, 33), jpeg=(131, 51), big=(320, 333), la=(17, 90), square=(64, 64))


def variant(name, family, settings=None, lora=None, config=None, bundle=None, swap=None, minimal=False, zoo=None):
    """`settings`: laid over the family's development preset. `config`: changes the configuration before the model is made.
    `bundle`: changes what is saved beside it. `swap`: other classes in the place of some of transformers. `minimal`: the
    published config.json leaves out what is the default of its class. `zoo`: sizes of the pictures."""
    assert name not in VARIANTS, name
    VARIANTS[name] = dict(family=family, settings=settings or {}, lora=lora, config=config, bundle=bundle, swap=swap or {}, minimal=minimal, zoo=zoo)


def layered(base, over):
    out = copy.deepcopy(base)
    for k, v in over.items():
        out[k] = layered(out[k], v) if isinstance(v, dict) and isinstance(out.get(k), dict) and k not in ("rope_extra",) else copy.deepcopy(v)
    return out


def sub(**kw):
    """A change of sub-configurations: text_config=dict(...), vision_config=dict(...), _=dict(...) for the whole."""
    def change(c):
        for part, values in kw.items():
            target = c if part == "_" else getattr(c, part)
            for k, v in values.items():
                setattr(target, k, v)
    return change


# ---- CLIP, SigLIP -------------------------------------------------------------------------------------------------------

variant("clip_gelu", "clip", dict(legacy_eos=False, proj=24, text=dict(hidden=36, heads=3, layers=1, act="gelu", max_len=40),
                                  vision=dict(hidden=60, heads=5, layers=4, image=40, act="gelu")))
variant("clip_patch_rest", "clip", dict(legacy_eos=False, text=dict(max_len=9), vision=dict(image=30, patch=8, heads=1)),
        config=sub(text_config=dict(layer_norm_eps=1e-3), vision_config=dict(layer_norm_eps=1e-4)),
        bundle=lambda b: b.ip.__dict__.update(size=type(b.ip.size)(shortest_edge=36)))
variant("clip_minimal", "clip", {}, minimal=True)
variant("siglip_patch_rest", "siglip", dict(text=dict(hidden=40, heads=5, max_len=9), vision=dict(image=38, patch=7, hidden=36, heads=3)))
variant("siglip_minimal", "siglip", dict(vocab=150), minimal=True)
variant("siglip2_large_table", "siglip2", dict(text=dict(hidden=40, heads=4), vision=dict(patch=4, num_patches=64, max_num_patches=9, hidden=36, heads=3)))
variant("siglip2_small_table", "siglip2", dict(vision=dict(patch=6, num_patches=9, max_num_patches=60)), minimal=True)

# ---- LLaVA ----------------------------------------------------------------------------------------------------------------

variant("llava_full_last", "llava", dict(feature_layer=-1, select="full", text=dict(hidden=60, heads=5, kv=1, tie=True), vision=dict(heads=3, layers=2)))
variant("llava_layers", "llava", dict(feature_layer=[-2, 1, -3], proj_bias=False, text=dict(heads=4, kv=4, head_dim=24, bias=True), vision=dict(layers=4, hidden=36, heads=3)),
        lora={"regex": regex(), "head": dict(r=2, lora_alpha=4, target_modules=["lm_head", "linear_1"], modules_to_save=["linear_2"])})
variant("llava_layer_1", "llava", dict(feature_layer=1, text=dict(rope_extra=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64))),
        lora={"layers": dict(r=2, lora_alpha=4, target_modules=["q_proj", "down_proj", "fc1"], layers_to_transform=1),
              "excluded": dict(r=2, lora_alpha=4, target_modules="all-linear", exclude_modules=r".*vision_tower.*|.*down_proj")})
variant("llava_patch_rest", "llava", dict(feature_layer=-1, vision=dict(image=30, patch=8), text=dict(rope_extra=dict(rope_type="linear", factor=2.5))), minimal=True)
variant("llava_siglip_qwen2", "llava", dict(feature_layer=-1, select="full", text=dict(tie=True, rope_theta=1000000.0), vision=dict(image=30, patch=7)),
        swap={"clip_vision_cfg": "siglip", "LlamaConfig": "Qwen2Config"}, bundle=lambda b: setattr(b.processor, "num_additional_image_tokens", 0))
variant("llava_mistral", "llava", dict(text=dict(kv=4, head_dim=16)), swap={"LlamaConfig": ("MistralConfig", dict(sliding_window=7))})
variant("llava_mistral_null", "llava", dict(text=dict(kv=4, head_dim=16)), swap={"LlamaConfig": ("MistralConfig", dict(sliding_window=None))}, minimal=True)
variant("llava_yarn", "llava", dict(text=dict(rope_extra=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32))))
variant("llava_dynamic", "llava", dict(text=dict(rope_extra=dict(rope_type="dynamic", factor=3.0))))
variant("llava_gelu", "llava", dict(text=dict(hidden=64)), config=sub(vision_config=dict(hidden_act="gelu"), text_config=dict(hidden_act="gelu", mlp_bias=True), _=dict(projector_hidden_act="gelu_pytorch_tanh")))
variant("llava_pad", "llava", {}, bundle=lambda b: pad_pictures(b))


def hub(b, change):
    """Changes the config.json of the published style."""
    full = b.hub_config

    def changed(c):
        c = full(c)
        change(c)
        return c
    b.hub_config = changed


def pad_pictures(b):
    """LlavaImageProcessor puts the picture into a square first."""
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
    side = b.ip.size["shortest_edge"]
    b.ip = LlavaImageProcessorPil(do_pad=True, size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    b.processor.image_processor = b.ip


# ---- LLaVA-NeXT, LLaVA-OneVision ------------------------------------------------------------------------------------------

variant("next_window", "llava_next", dict(sliding=9, feature_layer=[-2, -1], text=dict(hidden=60, heads=5, kv=1), pinpoints=[[28, 28], [84, 84], [28, 112], [112, 56]]),
        lora={"regex": regex()})
variant("next_vicuna", "llava_next", dict(feature_layer=-2, text=dict(kv=4, tie=False, rope_extra=dict(rope_type="linear", factor=2.0))), swap={"MistralConfig": "LlamaConfig"}, minimal=True)
variant("next_llama3", "llava_next", dict(feature_layer=-3, vision=dict(layers=4), text=dict(kv=1, rope_theta=500000.0)), swap={"MistralConfig": "LlamaConfig"})
variant("next_qwen2", "llava_next", dict(feature_layer=-1, text=dict(tie=True)), swap={"MistralConfig": "Qwen2Config"})
variant("next_patch_rest", "llava_next", dict(vision=dict(image=30, patch=8), pinpoints=[[30, 60], [60, 30], [60, 60]]))
variant("next_minimal", "llava_next", dict(sliding=None), minimal=True)
variant("onevision_patch_rest", "llava_onevision", dict(aspect="anyres_max_9", vision=dict(image=30, patch=7, hidden=36, heads=3), pinpoints=[[30 * a, 30 * b] for a in range(1, 5) for b in range(1, 5)], text=dict(kv=4, tie=False)))
variant("onevision_small", "llava_onevision", dict(aspect="anyres_max_1", text=dict(hidden=60, heads=5, kv=1)), lora={"regex": regex(), "saved": dict(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["multi_modal_projector", "norm"])}, minimal=True)

# ---- Qwen -----------------------------------------------------------------------------------------------------------------

QREGEX = regex("model.language_model")
variant("qwen2vl_no_merge", "qwen2_vl", dict(min_pixels=64 * 4, max_pixels=64 * 40, vision=dict(merge=1, heads=4, mlp_ratio=4), text=dict(kv=1, tie=False)), lora={"regex": QREGEX})
variant("qwen2vl_merge_4", "qwen2_vl", dict(min_pixels=32 * 32, max_pixels=32 * 32 * 9, vision=dict(merge=4, layers=1, hidden=48), text=dict(hidden=80, heads=5, kv=5, rope_extra=dict(mrope_section=[4, 1, 3]))),
        lora={"saved": dict(r=2, lora_alpha=4, target_modules=["qkv", "attn.proj", "gate_proj"], modules_to_save=["merger"])})
variant("qwen2vl_window", "qwen2_vl", dict(text_extra=dict(use_sliding_window=True, sliding_window=11, max_window_layers=1)))
variant("qwen2vl_yarn", "qwen2_vl", dict(text=dict(rope_extra=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=512, mrope_section=[2, 3, 3]))),
        bundle=lambda b: hub(b, lambda c: c["rope_scaling"].update(type="yarn", factor=4.0, original_max_position_embeddings=512)))
variant("qwen2vl_minimal", "qwen2_vl", dict(text=dict(tie=False)), minimal=True)
variant("qwen25vl_all_windows", "qwen2_5_vl", dict(vision=dict(fullatt=[], window=36, heads=4), text=dict(kv=8, tie=True)), lora={"regex": QREGEX})
variant("qwen25vl_no_windows", "qwen2_5_vl", dict(vision=dict(fullatt=[0, 1, 2, 3], window=24), text=dict(hidden=60, heads=5, kv=1, head_dim=12, rope_extra=dict(mrope_section=[1, 2, 3]))))
variant("qwen25vl_no_merge", "qwen2_5_vl", dict(min_pixels=36 * 4, max_pixels=36 * 60, vision=dict(merge=1, window=20, fullatt=[2], hidden=24, heads=3)), minimal=True)
variant("qwen25vl_window", "qwen2_5_vl", dict(text_extra=dict(use_sliding_window=True, sliding_window=5, max_window_layers=0)))
variant("qwen3vl_no_deepstack", "qwen3_vl", dict(text=dict(kv=1, tie=False, rope_extra=dict(mrope_section=[6, 4, 2], mrope_interleaved=True)), vision=dict(deepstack=[], num_pos=16)), lora={"regex": QREGEX})
variant("qwen3vl_three", "qwen3_vl", dict(text=dict(hidden=60, heads=5, kv=5, head_dim=16, layers=4, rope_extra=dict(mrope_section=[4, 2, 2], mrope_interleaved=True)), vision=dict(deepstack=[0, 1, 3], merge=4, num_pos=100, hidden=48, heads=3), min_pixels=32 * 32, max_pixels=32 * 32 * 6),
        lora={"saved": dict(r=2, lora_alpha=4, target_modules=["linear_fc1", "linear_fc2"], modules_to_save=["merger", "lm_head"])})
variant("qwen3vl_minimal", "qwen3_vl", dict(vision=dict(merge=1, num_pos=25), text=dict(rope_extra=dict(mrope_section=[8, 2, 2], mrope_interleaved=True)), min_pixels=64 * 4, max_pixels=64 * 30), minimal=True)

# ---- SmolVLM, Idefics3 ----------------------------------------------------------------------------------------------------

variant("smolvlm_tied", "smolvlm", dict(scale=1, longest=48, text=dict(hidden=60, heads=5, kv=1, tie=True)), lora={"regex": regex("model.text_model")})
variant("smolvlm_joined_4", "smolvlm", dict(scale=4, vision=dict(image=32, patch=4, hidden=36, heads=3), longest=128, text=dict(kv=4)))
variant("smolvlm_patch_rest", "smolvlm", dict(scale=3, vision=dict(image=26, patch=4), longest=52), minimal=True)
variant("smolvlm_whole", "smolvlm", dict(split=False, longest=24))
variant("idefics3_llama3", "idefics3", dict(text=dict(kv=2, tie=False, rope_theta=500000.0, rope_extra=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=128)), vision=dict(image=28, patch=7), longest=112),
        lora={"saved": dict(r=2, lora_alpha=4, target_modules=["k_proj"], modules_to_save=["connector"])}, minimal=True)
variant("idefics3_whole", "idefics3", dict(split=False, scale=3, vision=dict(image=36, patch=6, layers=1), longest=36))

# ---- InternVL -------------------------------------------------------------------------------------------------------------

variant("internvl_norms", "internvl", dict(max_patches=12, vision=dict(bias=False, qk_norm=True, norm="rms_norm", hidden=36, heads=3), text=dict(kv=1, tie=False)), lora={"regex": regex()})
variant("internvl_pooling", "internvl", dict(ratio=1.0, max_patches=1, vision=dict(image=21, patch=7)), config=sub(vision_config=dict(use_mean_pooling=False, layer_norm_eps=1e-3)))
variant("internvl_quarter", "internvl", dict(ratio=0.25, vision=dict(image=32, patch=4, layers=3)), config=sub(_=dict(vision_feature_layer=-2)))
variant("internvl_layer", "internvl", {}, config=sub(_=dict(vision_feature_layer=1), vision_config=dict(hidden_act="gelu_pytorch_tanh", use_absolute_position_embeddings=False, use_mean_pooling=False)))
variant("internvl_patch_rest", "internvl", dict(vision=dict(image=30, patch=7)), minimal=True)
variant("internvl_qwen3", "internvl", dict(text=dict(head_dim=24, tie=False)), swap={"Qwen2Config": "Qwen3Config"}, lora={"saved": dict(r=2, lora_alpha=4, target_modules=["projection_layer"], modules_to_save=["multi_modal_projector"])})
variant("internvl_llama", "internvl", dict(text=dict(kv=4, tie=False)), swap={"Qwen2Config": "LlamaConfig"})
variant("internvl_dynamic", "internvl", dict(text=dict(tie=False, rope_extra=dict(rope_type="dynamic", factor=2.0))), minimal=True)

# ---- PaliGemma, Gemma 3 ---------------------------------------------------------------------------------------------------

variant("paligemma_heads", "paligemma", dict(text=dict(hidden=60, heads=5, kv=5, head_dim=20), vision=dict(image=30, patch=7, hidden=36, heads=3)), lora={"regex": regex()}, minimal=True)
variant("paligemma2", "paligemma", dict(text=dict(layers=3, kv=2)), swap={"GemmaConfig": ("Gemma2Config", dict(query_pre_attn_scalar=32, sliding_window=9, attn_logit_softcapping=5.0, final_logit_softcapping=3.0))}, lora={"regex": regex()})
variant("paligemma2_wide", "paligemma", dict(text=dict(layers=2, kv=4, head_dim=16)), swap={"GemmaConfig": ("Gemma2Config", {})}, minimal=True)
variant("gemma3_narrow", "gemma3", dict(tokens=16, text=dict(window=3, kv=1, qpas=50, layer_types=["full_attention", "sliding_attention", "sliding_attention"])), lora={"regex": regex()})
variant("gemma3_wide", "gemma3", dict(tokens=1, text=dict(hidden=60, heads=5, kv=5, window=500, layers=2, layer_types=["full_attention"] * 2), vision=dict(image=36, patch=9)))
variant("gemma3_sliding", "gemma3", dict(tokens=4, text=dict(window=6, layers=2, layer_types=["sliding_attention"] * 2), vision=dict(image=35, patch=8)),
        lora={"saved": dict(r=2, lora_alpha=4, target_modules=["gate_proj"], modules_to_save=["multi_modal_projector"])}, minimal=True)

# ---- what processors and adapters may be told ----------------------------------------------------------------------------------


def processed(**fields):
    """Other settings of the picture processor."""
    def change(b):
        for name, value in fields.items():
            setattr(b.ip, name, type(b.ip.size)(**value) if name in ("size", "crop_size") else value)
    return change


ADAPTERS = {
    "wide_rank": dict(r=40, lora_alpha=10.5, target_modules=["k_proj", "q_proj", "fc2"], exclude_modules=["layers.0.self_attn.q_proj"]),
    "paths": dict(r=3, lora_alpha=3, target_modules=[LLM + ".layers.1.self_attn.v_proj", "mlp.gate_proj"], bias="lora_only", use_dora=True),
    "some_layers": dict(r=2, lora_alpha=1, target_modules=["q_proj", "down_proj", "qkv", "fc1"], layers_to_transform=[1, 2], layers_pattern=["layers", "blocks"], use_rslora=True,
                        alpha_pattern={"down_proj": 4.5}),
    "saved_ends": dict(r=2, lora_alpha=2, target_modules=["up_proj", "v_proj"], modules_to_save=["norm", "linear_1"]),
}
variant("clip_plain_resize", "clip", bundle=processed(do_center_crop=False, size=dict(height=32, width=32), resample=2, image_mean=[0.1, 0.5, 0.9], image_std=[0.5, 0.2, 1.0]))
variant("clip_raw", "clip", dict(vision=dict(heads=8)), bundle=processed(rescale_factor=0.01, do_normalize=False, resample=1))
variant("siglip_raw", "siglip", bundle=processed(rescale_factor=0.01, resample=2, image_std=[0.4, 0.5, 0.6]))
variant("siglip2_bicubic", "siglip2", bundle=processed(resample=3, image_mean=[0.4, 0.4, 0.4]))
variant("llava_adapters", "llava", dict(text=dict(kv=1, head_dim=12, layers=3)), lora=ADAPTERS, bundle=processed(resample=2, crop_size=dict(height=28, width=28), size=dict(shortest_edge=40)))
variant("llava_qwen3", "llava", dict(text=dict(head_dim=24)), swap={"LlamaConfig": ("Qwen3Config", dict(attention_bias=True))}, lora=ADAPTERS)
variant("llava_gemma", "llava", dict(text=dict(head_dim=20, kv=1, tie=True)), swap={"LlamaConfig": "GemmaConfig"})
variant("next_adapters", "llava_next", dict(text=dict(kv=1)), lora=ADAPTERS, bundle=processed(resample=2, image_mean=[0.5] * 3))
variant("onevision_adapters", "llava_onevision", dict(aspect="anyres_max_2"), lora=ADAPTERS, bundle=processed(resample=2))
variant("onevision_layer", "llava_onevision", dict(vision=dict(layers=3)), config=sub(_=dict(vision_feature_layer=-2)))
variant("qwen2vl_adapters", "qwen2_vl", lora=ADAPTERS, bundle=processed(image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=2))
variant("qwen25vl_adapters", "qwen2_5_vl", lora=ADAPTERS, config=sub(vision_config=dict(hidden_act="gelu_pytorch_tanh")))
variant("qwen3vl_adapters", "qwen3_vl", lora=ADAPTERS, config=sub(text_config=dict(attention_bias=True), vision_config=dict(hidden_act="gelu")))
variant("smolvlm_adapters", "smolvlm", dict(longest=60), lora={k: v for k, v in ADAPTERS.items() if k != "paths"}, bundle=processed(resample=3))
variant("idefics3_long", "idefics3", dict(longest=100, text=dict(tie=True)), config=sub(text_config=dict(attention_bias=True, mlp_bias=True), vision_config=dict(hidden_act="gelu", layer_norm_eps=1e-3)))
variant("internvl_adapters", "internvl", dict(max_patches=6), lora=ADAPTERS, bundle=processed(min_patches=3, resample=2, image_mean=[0.5] * 3))
variant("paligemma_adapters", "paligemma", lora=ADAPTERS, bundle=processed(resample=2, image_std=[0.25, 0.5, 1.0]))
variant("paligemma_act", "paligemma", config=sub(text_config=dict(hidden_act="silu"), vision_config=dict(hidden_act="gelu")))
variant("gemma3_adapters", "gemma3", lora=ADAPTERS, bundle=processed(resample=3), config=sub(text_config=dict(attention_bias=True)))

# ---- pictures -------------------------------------------------------------------------------------------------------------

for name in ("clip", "siglip", "siglip2", "llava", "llava_next", "llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "idefics3", "internvl", "paligemma", "gemma3"):
    # torch resizes a table to a single column as if it had one row: no picture is that tall for SigLIP 2.
    variant(f"{name}_pictures", name, lora={}, zoo={**PICTURES, "odd": (31, 160)} if name == "siglip2" else PICTURES)

# ---- the generator --------------------------------------------------------------------------------------------------------


def generator(path):
    spec = importlib.util.spec_from_file_location("make_fixtures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(f, v, p):
    """The family's bundle with the variant's changes."""
    import transformers
    kept = []

    def put(owner, name, value):
        kept.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    for name, other in v["swap"].items():
        if name == "clip_vision_cfg":
            put(f, name, lambda x: f.siglip_vision_cfg({**x, "head": False}))
        else:
            other, extra = other if isinstance(other, tuple) else (other, {})
            made = getattr(transformers, other)
            put(transformers, name, lambda made=made, extra=extra, **kw: made(**{**kw, **extra}))
    if v["config"]:
        for name in MODELS:
            model = getattr(transformers, name)
            put(transformers, name, lambda c, model=model: (v["config"](c), model(c))[1])
    try:
        b = f.BUILDERS[v["family"]](p)
    finally:
        for owner, name, value in reversed(kept):
            setattr(owner, name, value)
    if v["bundle"]:
        v["bundle"](b)
    if v["minimal"]:
        full = b.hub_config
        b.hub_config = lambda c: without_defaults(full(c), b.model.config)
    return b


MODELS = ["CLIPModel", "SiglipModel", "Siglip2Model", "LlavaForConditionalGeneration", "LlavaNextForConditionalGeneration", "LlavaOnevisionForConditionalGeneration",
          "Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration", "Qwen3VLForConditionalGeneration", "SmolVLMForConditionalGeneration",
          "Idefics3ForConditionalGeneration", "InternVLForConditionalGeneration", "PaliGemmaForConditionalGeneration", "Gemma3ForConditionalGeneration"]
KEPT = {"model_type", "architectures", "transformers_version", "torch_dtype", "rope_scaling", "rope_theta", "rope_local_base_freq", "tie_word_embeddings", "layer_types"}


def without_defaults(written, config):
    """What is left when every value that is its class's default is taken away, as in many published files."""
    out = {}
    default = type(config)().to_dict() if type(config).__name__ != "PaliGemmaConfig" else {}
    parts = {k: getattr(config, k) for k in ("text_config", "vision_config") if hasattr(config, k)}
    for k, v in written.items():
        if k in parts and isinstance(v, dict):
            inner = type(parts[k])().to_dict()
            out[k] = {a: b for a, b in v.items() if a in KEPT or a not in inner or inner[a] != b}
        elif k in KEPT or isinstance(v, dict) or k not in default or default[k] != v:
            out[k] = v
    return out


def make(f, name, v, seed, out, verify):
    p = layered(f.PRESETS, {})
    p[v["family"]] = layered(p[v["family"]], v["settings"])
    if "pinpoints" in v["settings"]:
        p[v["family"]]["pinpoints"] = v["settings"]["pinpoints"]
    p["_lora"] = {**LORA, **(v["lora"] or {})}
    p["_lora_extra"] = {}
    if v["zoo"]:
        p["_zoo"] = v["zoo"]
    old = f.BUILDERS[v["family"]]
    f.BUILDERS[v["family"]] = lambda q: build_with(f, v, q, old)
    try:
        f.make_family(v["family"], p, seed, out / name, name, with_v5=False)
    finally:
        f.BUILDERS[v["family"]] = old
    if verify:
        said = f.verify(v["family"], out / name)
        print(f"{name}: verified {json.dumps(said)}", flush=True)
        return not (said["bad"] or said["not_finite"])
    return True


def build_with(f, v, p, builder):
    kept = f.BUILDERS[v["family"]]
    f.BUILDERS[v["family"]] = builder
    try:
        return build(f, v, p)
    finally:
        f.BUILDERS[v["family"]] = kept


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("make_fixtures")
    ap.add_argument("out", type=Path)
    ap.add_argument("names", nargs="*")
    ap.add_argument("--seed", type=int, default=7)
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--verify", action="store_true")
    a = ap.parse_args()
    names = a.names or list(VARIANTS)
    unknown = [n for n in names if n not in VARIANTS]
    if unknown:
        ap.error(f"unknown variant {unknown[0]}; there are {', '.join(VARIANTS)}")
    if a.list:
        print("\n".join(f"{n} {VARIANTS[n]['family']}" for n in names))
        return 0
    f = generator(a.make_fixtures)
    bad = []
    for name in names:
        try:
            if not make(f, name, VARIANTS[name], a.seed, a.out, a.verify):
                bad.append(name)
            print(f"{name}: made", flush=True)
        except (Exception, SystemExit) as e:
            print(f"{name}: FAILED {type(e).__name__}: {str(e)[:400]}", flush=True)
            bad.append(name)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
