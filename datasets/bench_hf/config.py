"""What may be set about a dataset of Hugging Face's library."""

from __future__ import annotations

from bench.api import TableConfig


class HfConfig(TableConfig):
    """A dataset of Hugging Face's library; its classes go by their names, not their numbers.

    Parameters
    ----------
    root
        A folder: what ``save_to_disk`` wrote, or one that ``load_dataset`` reads (an imagefolder,
        Parquet files). None: `repo` is taken from the hub.
    repo, subset, revision
        A dataset of the hub, as ``owner/name``; which of its configurations, and which version.
    train_split, test_split
        The splits for training and for testing; two where each domain has its own.
    """

    repo: str | None = None
    subset: str | None = None
    revision: str | None = None
    train_split: str | tuple[str, str] = "train"
    test_split: str | tuple[str, str] = "test"
