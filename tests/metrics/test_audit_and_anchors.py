"""Duplicates in a dataset."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from bench.api import ImageItem
from bench.data.images import fit_square, read_image
from bench.metrics.audit import audit, perceptual_hash, write_findings


class Pictures:
    """A dataset of rendered pictures: ``{(split, domain): {id: pixels}}``."""

    domains = ("summer", "winter")
    paired = False

    def __init__(self, content):
        self.content = content

    def split(self, split, domain):
        return [
            ImageItem(key, hashlib.sha256(p.tobytes()).hexdigest(), render=lambda p=p: p)
            for key, p in self.content.get((split, domain), {}).items()
        ]


def scene(seed, size=64):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return fit_square(coarse, size)


def test_exact_and_near_duplicates_are_found_where_they_are():
    one, two, three = scene(1), scene(2), scene(3)
    brighter = np.clip(three.astype(int) + 4, 0, 255).astype(np.uint8)
    found = audit(
        Pictures(
            {
                ("train", "a"): {"one": one, "four": scene(4)},
                ("train", "b"): {"one-again": one, "three": three},
                ("test", "a"): {"two": two, "one-test": one},
                ("test", "b"): {"three-brighter": brighter, "five": scene(5)},
            }
        )
    )
    assert found.counts["test", "a"] == 2
    assert found.test_in_train() == 1
    assert found.test_in_train(same_domain=True) == 1
    assert found.between_domains("train") == 1
    assert found.contaminated("a") == {"one-test"}
    assert found.contaminated("b") == frozenset()
    assert found.contaminated("b", near=True) == {"three-brighter"}
    (near,) = found.pairs[found.pairs["kind"] == "near"].to_dict("records")
    assert (near["id_1"], near["id_2"]) == ("three", "three-brighter")
    assert near["similarity"] > 0.96
    assert found.lines(("summer", "winter"))[0] == (
        "1 of 4 test images are identical to training images (1 in the same domain)"
    )


def test_findings_are_written_with_pictures_of_the_near_pairs(tmp_path):
    three = scene(3)
    brighter = np.clip(three.astype(int) + 4, 0, 255).astype(np.uint8)
    data = Pictures({("train", "a"): {"three": three}, ("test", "b"): {"brighter": brighter}})
    table, sheet = write_findings(audit(data), data, tmp_path, size=32)
    assert list(pd.read_csv(table)["id_2"]) == ["brighter"]
    drawn = read_image(sheet)
    assert drawn.shape == (32, 4 * 32 + 4, 3)
    np.testing.assert_array_equal(drawn[:, :32], fit_square(three, 32))
    np.testing.assert_array_equal(drawn[:, 32:64], fit_square(brighter, 32))


def test_nothing_to_find():
    found = audit(Pictures({("train", "a"): {"one": scene(1)}, ("test", "a"): {"two": scene(2)}}))
    assert found.pairs.empty
    assert found.test_in_train() == 0
    assert audit(Pictures({})).pairs.empty


def test_the_hash_survives_brightness_and_not_another_scene():
    a = scene(1)
    bits = perceptual_hash(a)
    assert bits.shape == (64,)
    assert (bits != perceptual_hash((a * 0.9).astype(np.uint8))).sum() <= 2
    assert (bits != perceptual_hash(scene(2))).sum() > 12


@pytest.mark.nightly
def test_yosemite_has_the_known_duplicates(yosemite_root):
    class Yosemite:
        domains = ("summer", "winter")
        paired = False

        def split(self, split, domain):
            return [
                ImageItem(path.stem, hashlib.sha256(path.read_bytes()).hexdigest(), path)
                for path in sorted((yosemite_root / f"{split}{domain.upper()}").iterdir())
            ]

    found = audit(Yosemite())
    assert found.counts["test", "a"] + found.counts["test", "b"] == 547
    assert found.test_in_train() == 43
    assert found.test_in_train(same_domain=True) == 41
    assert found.between_domains("train") == 14
    near = found.pairs[found.pairs["kind"] == "near"]
    # Re-encoded and re-toned copies; the threshold comes from pairs looked at.
    assert len(near) == 13
    assert found.test_in_train("near") == 3
