"""scikit-learn's bundled handwritten digits: small, and there without a download."""

import numpy as np

from lsqsim.data_sets.samples import DataSet, Samples
from lsqsim.errors import LsqsimError

N_TEST = 600
LARGEST_PIXEL = 16.0


def load_digits_data_set() -> DataSet:
    """1197 training and 600 test images of handwritten digits, split once and for all.

    Images are uint8 (n, 8, 8, 1), pixels 0 .. 16 for real numbers 0 .. 1; labels 0 .. 9,
    as frequent in both parts.

    Raises
    ------
    LsqsimError
        scikit-learn, which brings the images, is not installed.
    """
    try:
        from sklearn import datasets, model_selection  # noqa: PLC0415 - optional, and slow
    except ImportError:
        raise LsqsimError(
            "the digits need scikit-learn, which brings them: pip install 'lsqsim[demo]'"
        ) from None
    pixels, classes = datasets.load_digits(return_X_y=True)
    parts = model_selection.train_test_split(
        pixels, classes, test_size=N_TEST, random_state=0, stratify=classes
    )
    train_pixels, test_pixels, train_classes, test_classes = map(np.asarray, parts)
    return DataSet(
        name="digits",
        train=_samples(train_pixels, train_classes),
        test=_samples(test_pixels, test_classes),
        n_classes=10,
        scale=LARGEST_PIXEL,
    )


def _samples(pixels: np.ndarray, classes: np.ndarray) -> Samples:
    # The pixels are whole numbers, stored as float64: nothing is lost.
    return Samples(
        values=pixels.astype(np.uint8).reshape(-1, 8, 8, 1), labels=classes.astype(np.int64)
    )
