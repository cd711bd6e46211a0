"""What may be set about the shards of WebDataset."""

from __future__ import annotations

from bench.api import TableConfig


class WebDatasetConfig(TableConfig):
    """Tar shards whose files of one name are one sample: ``0001.jpg``, ``0001.cls``.

    A sample is a row, and a column an ending: ``cls``; or, for `label`, a field of a JSON file:
    ``json.season``.

    Parameters
    ----------
    root
        The folder that shards are looked for in; None: shards are addresses or whole paths.
    train_shards, test_shards
        The shards for training and for testing: ``train-{0000..0012}.tar``, several with ``::``
        between them, or ``http`` addresses, which are fetched once. Two where each domain has its
        own.
    image
        The endings of pictures, best first, with ``;`` between them.
    """

    train_shards: str | tuple[str, str] = "train.tar"
    test_shards: str | tuple[str, str] = "test.tar"
    image: str = "jpg;jpeg;png;webp"
