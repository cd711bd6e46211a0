"""What datasets share: folders of pictures, fingerprints, downloads, archives.

A folder dataset holds four parts, ``trainA``, ``trainB``, ``testA`` and ``testB``, the
layout of the field. :class:`FolderDataset` reads one; :class:`TableDataset` makes them of tables;
:func:`fetch` and :func:`unpack_zip` bring one in from the network without trusting it;
:func:`verify` and :func:`make_folder` are what ``bench data verify`` and
``bench data make`` do.
"""

from bench.data.archive import NoRoom, unpack_zip
from bench.data.content import (
    PARTS,
    Contents,
    Differences,
    compare_contents,
    fingerprint_of,
    read_contents,
    safe_ids,
)
from bench.data.folder import FolderDataset, find_root, load_folder
from bench.data.rows import Table, TableDataset
from bench.data.splits import SplitDataset
from bench.data.verbs import Verification, check_new, make_folder, verify
from bench.storage.download import fetch
from bench.storage.locks import locked

__all__ = [
    "PARTS",
    "Contents",
    "Differences",
    "FolderDataset",
    "NoRoom",
    "SplitDataset",
    "Table",
    "TableDataset",
    "Verification",
    "check_new",
    "compare_contents",
    "fetch",
    "find_root",
    "fingerprint_of",
    "load_folder",
    "locked",
    "make_folder",
    "read_contents",
    "safe_ids",
    "unpack_zip",
    "verify",
]
