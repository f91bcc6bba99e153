"""Small files in the formats of MNIST and CIFAR-10, written by struct and by hand."""

import gzip
import pickle
import struct

import numpy as np

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
BATCH_NAMES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")


def idx(array, code=0x08):
    """Bytes of an IDX file: header, then the elements."""
    array = np.asarray(array)
    dimensions = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + dimensions + array.tobytes()


def images_and_labels(n, *, seed=0):
    """``n`` images of 3 x 2 bytes, and labels 0 .. 9."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 3, 2), np.uint8)
    return images, (np.arange(n) % 10).astype(np.uint8)


def idx_files(n_train=4, n_test=3):
    """Official name to content."""
    arrays = (*images_and_labels(n_train), *images_and_labels(n_test, seed=1))
    return {name: idx(array) for name, array in zip(IDX_NAMES, arrays, strict=True)}


def pixels_and_labels(n, *, seed=0):
    """``n`` rows of 3072 bytes, and labels 0 .. 9."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3072), np.uint8), (np.arange(n) + seed) % 10


def binary_batch(pixels, labels):
    records = zip(pixels, labels, strict=True)
    return b"".join(bytes([label]) + row.tobytes() for row, label in records)


def python3_batch(pixels, labels, *, protocol=4, text_keys=False, **more):
    """As Python 3 pickles a batch whose strings are bytes."""
    batch = {
        b"batch_label": b"training batch 1 of 5",
        b"labels": [int(label) for label in labels],
        b"data": pixels,
        b"filenames": [b"%d.png" % i for i in range(len(labels))],
    } | {key.encode(): value for key, value in more.items()}
    if text_keys:
        batch = {key.decode(): value for key, value in batch.items()}
    return pickle.dumps(batch, protocol=protocol)


def python2_batch(pixels, labels):
    """As the published files were written: by cPickle of Python 2, in protocol 2."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    n, width = pixels.shape
    numbers = b"".join(b"K" + bytes([int(label)]) for label in labels)
    return b"".join(
        [
            b"\x80\x02}q\x01(",
            text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5") + b"q\x03",
            text(b"labels") + b"q\x04]q\x05(" + numbers + b"e",
            text(b"data") + b"q\x06",
            b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08",
            b"K\x00\x85" + text(b"b") + b"\x87Rq\x09",
            b"(K\x01M" + struct.pack("<H", n) + b"M" + struct.pack("<H", width) + b"\x86",
            b"cnumpy\ndtype\nq\x0a" + text(b"u1") + b"K\x00K\x01\x87Rq\x0b",
            b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89T" + struct.pack("<i", pixels.size) + pixels.tobytes() + b"tb",
            text(b"filenames") + b"q\x0c]q\x0d(",
            b"".join(text(b"%d.png" % i) + b"r" + struct.pack("<I", 14 + i) for i in range(n)),
            b"eu.",
        ]
    )


def batch_files(write, suffix, n=2, **options):
    """Official name to content, of six batches of ``n`` images each."""
    return {
        f"{name}{suffix}": write(*pixels_and_labels(n, seed=i), **options)
        for i, name in enumerate(BATCH_NAMES)
    }


def write_all(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def compressed(files):
    return {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}
