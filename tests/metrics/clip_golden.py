"""A small CLIP of random weights, and what Hugging Face's makes of two pictures.

`python -m tests.metrics.clip_golden` records it anew. It takes the package transformers, which the
suite does not depend on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

RECORDED = Path(__file__).parent / "golden" / "clip.npy"
WIDTH, HIDDEN, DEPTH, PATCH, SIZE, EMBEDDING = 128, 256, 2, 28, 336, 24
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def state() -> dict[str, torch.Tensor]:
    """Random weights under the names of Hugging Face's files, those of a text tower among them."""
    vision = "vision_model."
    shapes: dict[str, tuple[int, ...]] = {
        f"{vision}embeddings.class_embedding": (WIDTH,),
        f"{vision}embeddings.patch_embedding.weight": (WIDTH, 3, PATCH, PATCH),
        f"{vision}embeddings.position_embedding.weight": ((SIZE // PATCH) ** 2 + 1, WIDTH),
        "visual_projection.weight": (EMBEDDING, WIDTH),
    }
    for name in ("pre_layrnorm", "post_layernorm"):
        shapes |= {f"{vision}{name}.{kind}": (WIDTH,) for kind in ("weight", "bias")}
    for index in range(DEPTH):
        layer = f"{vision}encoder.layers.{index}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{layer}.self_attn.{name}.weight"] = (WIDTH, WIDTH)
            shapes[f"{layer}.self_attn.{name}.bias"] = (WIDTH,)
        for name in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{layer}.{name}.{kind}": (WIDTH,) for kind in ("weight", "bias")}
        shapes[f"{layer}.mlp.fc1.weight"] = (HIDDEN, WIDTH)
        shapes[f"{layer}.mlp.fc1.bias"] = (HIDDEN,)
        shapes[f"{layer}.mlp.fc2.weight"] = (WIDTH, HIDDEN)
        shapes[f"{layer}.mlp.fc2.bias"] = (WIDTH,)
    # The one generator whose numbers are promised never to change.
    rng = np.random.RandomState(0)
    made = {
        name: torch.from_numpy(rng.normal(0, 0.1, shape).astype(np.float32))
        for name, shape in shapes.items()
    }
    return made | {
        f"{vision}embeddings.position_ids": torch.arange((SIZE // PATCH) ** 2 + 1)[None],
        "text_model.final_layer_norm.weight": torch.ones(8),
        "text_projection.weight": torch.ones(EMBEDDING, 8),
        "logit_scale": torch.tensor(4.6),
    }


def pictures() -> torch.Tensor:
    """Two pictures of the network's own size, uint8 ``(2, 3, 336, 336)``."""
    rng = np.random.RandomState(1)
    coarse = rng.randint(0, 256, (2, 3, 12, 12)).astype(np.uint8)
    return torch.from_numpy(np.kron(coarse, np.ones((28, 28), np.uint8)))


def record() -> None:
    """Write the embeddings, scaled to length 1."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    network = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=HIDDEN,
            projection_dim=EMBEDDING,
            num_hidden_layers=DEPTH,
            num_attention_heads=WIDTH // 64,
            image_size=SIZE,
            patch_size=PATCH,
        )
    )
    known = network.state_dict()
    network.load_state_dict({key: tensor for key, tensor in state().items() if key in known})
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (MEAN, DEVIATION))
    with torch.inference_mode():
        found = network.eval()((pictures() / 255 - mean) / deviation).image_embeds
    np.save(RECORDED, torch.nn.functional.normalize(found, dim=-1).numpy())


if __name__ == "__main__":
    record()
