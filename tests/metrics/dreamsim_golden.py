"""A narrow DINO of random weights with an adapter, and what the package dreamsim makes of pictures.

`python -m tests.metrics.dreamsim_golden` records it anew. It takes the packages dreamsim (0.2.1)
and peft, which the suite does not depend on; nothing is downloaded.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file

from bench.metrics import files

RECORDED = Path(__file__).parent / "golden" / "dreamsim.npz"
WIDTH, HIDDEN, DEPTH, PATCH, SIZE = 128, 256, 12, 16, 224
PAIRS = ((0, 1), (0, 2), (1, 2))
SETUP = {
    "peft_type": "LORA",
    "r": 4,
    "lora_alpha": 8.0,
    "lora_dropout": 0.2,
    "target_modules": ["qkv"],
    "bias": "none",
    "fan_in_fan_out": False,
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "use_dora": False,
    "use_rslora": False,
}
"""In the words of the published file; another rank, and the same scale: twice the product."""


def _random(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, torch.Tensor]:
    # The one generator whose numbers are promised never to change.
    rng = np.random.RandomState(seed)
    return {
        name: torch.from_numpy(rng.normal(0, 0.1, shape).astype(np.float32))
        for name, shape in shapes.items()
    }


def state() -> dict[str, torch.Tensor]:
    """Random weights under the names of DINO's file."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 1 + (SIZE // PATCH) ** 2, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    for index in range(DEPTH):
        for name, rows, columns in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", HIDDEN, WIDTH),
            ("mlp.fc2", WIDTH, HIDDEN),
        ):
            shapes[f"blocks.{index}.{name}.weight"] = (rows, columns)
            shapes[f"blocks.{index}.{name}.bias"] = (rows,)
        for name in ("norm1", "norm2"):
            shapes |= {f"blocks.{index}.{name}.{kind}": (WIDTH,) for kind in ("weight", "bias")}
    made = _random(shapes, 0)
    # Norms keep their input's scale, so that what is seen reaches the class token.
    return {
        key: one + 1 if ".norm" in key and key.endswith("weight") else one
        for key, one in made.items()
    }


def adapter() -> dict[str, torch.Tensor]:
    """Random matrices under the names of the published adapter."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(DEPTH):
        layer = f"base_model.model.extractor_list.0.model.blocks.{index}.attn.qkv"
        shapes[f"{layer}.lora_A.weight"] = (4, WIDTH)
        shapes[f"{layer}.lora_B.weight"] = (3 * WIDTH, 4)
    return _random(shapes, 1)


def write(folder: Path) -> list[Path]:
    """Write the three files as they lie in a folder of weights, and return their paths."""
    network, setup, pairs = paths = [
        folder / file.name
        for file in (files.DINO_VITB16, files.DREAMSIM_SETUP, files.DREAMSIM_ADAPTER)
    ]
    setup.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state(), network)
    setup.write_text(json.dumps(SETUP))
    save_file(adapter(), pairs)
    return paths


def pictures() -> list[torch.Tensor]:
    """Two pictures of the network's own size and one that is resized, uint8 ``(1, 3, H, W)``."""
    rng = np.random.RandomState(1)
    made = [
        np.kron(rng.randint(0, 256, (3, h, w)), np.ones((28, 28))).astype(np.uint8)
        for h, w in ((8, 8), (8, 8), (5, 9))
    ]
    return [torch.from_numpy(one)[None] for one in made]


def record() -> None:
    """Write the embeddings of length 1, and the distances of `PAIRS`."""
    from dreamsim.feature_extraction.vision_transformer import VisionTransformer
    from dreamsim.model import dreamsim
    from PIL import Image

    network = VisionTransformer(
        patch_size=PATCH,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=WIDTH // 64,
        mlp_ratio=HIDDEN / WIDTH,
        qkv_bias=True,
        norm_layer=lambda width: torch.nn.LayerNorm(width, eps=1e-6),
    )
    network.load_state_dict(state())
    # The package reads DINO's head, too, and makes no use of it here.
    parts = ("mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias", "mlp.4.weight")
    parts += ("mlp.4.bias", "last_layer.weight")
    head = {f"module.head.{part}": torch.zeros(1) for part in parts}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        torch.save({"student": head}, Path(folder) / "dino_vitb16_pretrain.pth")
        with mock.patch.object(torch.hub, "load", lambda *args, **options: network):
            model, prepare = dreamsim(device="cpu", cache_dir=folder, dreamsim_type="dino_vitb16")
    seen = [
        prepare(Image.fromarray(one[0].permute(1, 2, 0).contiguous().numpy())) for one in pictures()
    ]
    with torch.inference_mode():
        embedded = torch.cat([model.embed(one) for one in seen])
        distances = torch.cat([model(seen[a], seen[b]) for a, b in PAIRS])
    np.savez(RECORDED, embedded=embedded.numpy(), distances=distances.numpy())


if __name__ == "__main__":
    record()
