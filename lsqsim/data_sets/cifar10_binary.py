"""Batches of CIFAR-10's binary version: records of a label and 3072 bytes of pixels."""

from pathlib import Path

import numpy as np

from lsqsim.data_sets.content import content_of
from lsqsim.errors import DataError

RECORD_BYTES = 1 + 3 * 32 * 32
MAX_FILE_BYTES = 64 << 20
"""A published batch has 30 MB."""


def read_binary_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (n, 3072), of each image all red, all green, all blue; labels int64 (n,).

    DataError, which doesn't name the path, unless the file consists of whole records.
    """
    content = content_of(path, MAX_FILE_BYTES)
    if len(content) % RECORD_BYTES:
        raise DataError(
            f"is damaged: its {len(content)} bytes are no multiple of {RECORD_BYTES}, "
            f"the length of a record"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    return records[:, 1:], records[:, 0].astype(np.int64)
