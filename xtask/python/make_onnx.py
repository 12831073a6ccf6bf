#!/usr/bin/env python3
"""Writes ONNX models for the tests of OM models, as torch exports them.

    make_onnx.py patches FOLDER         patches.onnx and what torch makes of pictures of several shapes
    make_onnx.py dual MODEL_DIR OUT     the vision tower of a CLIP or SigLIP model
"""

import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file

warnings.filterwarnings("ignore")


class Patches(torch.nn.Module):
    """Two outputs of pictures of any number and size: a feature per patch, and a sum of all per picture."""

    def __init__(self):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 4, kernel_size=4, stride=4)
        self.norm = torch.nn.LayerNorm(4)
        self.head = torch.nn.Linear(4, 5)

    def forward(self, pixel_values):
        features = self.norm(self.patch(pixel_values).flatten(2).transpose(1, 2))
        return torch.nn.functional.gelu(features), self.head(features.mean(1))


def export(model, example, path, outputs, axes):
    with torch.no_grad():
        torch.onnx.export(
            model, (example,), str(path), dynamo=False, opset_version=17, input_names=["pixel_values"],
            output_names=outputs, dynamic_axes=axes,
        )


def patches(folder):
    model = Patches().eval()
    axes = {"pixel_values": {0: "batch", 2: "height", 3: "width"}, "features": {0: "batch", 1: "patches"}, "sums": {0: "batch"}}
    export(model, torch.randn(1, 3, 8, 8), folder / "patches.onnx", ["features", "sums"], axes)
    tensors = {}
    for shape in [(1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8), (1, 3, 12, 8), (2, 3, 12, 16)]:
        name = "x".join(map(str, shape))
        x = torch.randn(shape)
        with torch.no_grad():
            features, sums = model(x)
        tensors |= {f"{name}.pixel_values": x, f"{name}.features": features, f"{name}.sums": sums}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "patches.safetensors")


class Embeds(torch.nn.Module):
    """Pictures to embeddings of length 1, as `image_embeds` of transformers' dual encoders."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        features = self.model.get_image_features(pixel_values=pixel_values)
        features = getattr(features, "pooler_output", features)
        return features / features.norm(p=2, dim=-1, keepdim=True)


def dual(folder, out):
    """The vision tower of the dual encoder in `folder`, with an open batch."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    size = model.config.vision_config.image_size
    axes = {"pixel_values": {0: "batch"}, "image_embeds": {0: "batch"}}
    export(Embeds(model), torch.randn(2, 3, size, size), out, ["image_embeds"], axes)


if __name__ == "__main__":
    torch.manual_seed(0)
    if sys.argv[1] == "patches":
        patches(Path(sys.argv[2]))
    else:
        dual(Path(sys.argv[2]), Path(sys.argv[3]))
