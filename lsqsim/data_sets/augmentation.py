"""Random crops and flips of training images: more images than there are."""

from dataclasses import dataclass

import numpy as np

from lsqsim.errors import SpecError
from lsqsim.formats import SpecEnum
from lsqsim.specs.toml import Spec

MAX_CROP_PADDING = 256

_IMAGE_AXES = 4


class Flip(SpecEnum):
    """Which images are mirrored."""

    NONE = "none"
    HORIZONTAL = "horizontal"
    """Each image left to right, with probability 1/2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation(Spec):
    """Random changes of a training image that leave its class alone.

    Attributes
    ----------
    crop_padding
        Border in pixels, 0 .. 256, put around each image before a window of the
        image's size is cut out at random; 0 leaves images where they are.
    flip
        Which images are mirrored.
    """

    crop_padding: int = 0
    flip: Flip = Flip.NONE

    def validate(self) -> None:
        if not 0 <= self.crop_padding <= MAX_CROP_PADDING:
            raise SpecError(
                f"crop_padding must be in 0..{MAX_CROP_PADDING}, got {self.crop_padding}"
            )


def augmented(
    values: np.ndarray, spec: Augmentation, rng: np.random.Generator, *, fill: int
) -> np.ndarray:
    """Crop and flip each image at random; the generator's state decides all.

    Parameters
    ----------
    values
        Images (n, h, w, c); with an augmentation that changes nothing, any shape.
    spec
        Crops are drawn first, then flips; what is off draws nothing.
    rng
        Advanced by the draws.
    fill
        Value of the border: the one for the real number 0, hence
        ``round(data_set.offset)``.

    Returns
    -------
    ndarray
        A new array in C order, of the same shape and dtype.

    Raises
    ------
    SpecError
        Values that are no images, or a fill that their dtype can't hold.

    Examples
    --------
    Two rows of three pixels, each mirrored or not:

    >>> images = np.array([[1, 2, 3], [4, 5, 6]], np.uint8).reshape(2, 1, 3, 1)
    >>> spec = Augmentation(flip=Flip.HORIZONTAL)
    >>> augmented(images, spec, np.random.default_rng(2), fill=0).reshape(2, 3).tolist()
    [[3, 2, 1], [4, 5, 6]]
    """
    if spec == Augmentation():
        return np.array(values, order="C")
    if values.ndim != _IMAGE_AXES:
        raise SpecError(
            f"only images of shape (n, h, w, c) can be augmented, got shape {values.shape}: "
            f"leave crop_padding at 0 and flip at none"
        )
    images = _cropped(values, spec.crop_padding, rng, fill)
    if spec.flip is Flip.HORIZONTAL:
        flipped = rng.integers(0, 2, size=len(images), dtype=np.bool_)
        images[flipped] = images[flipped, :, ::-1]
    return images


def _cropped(values: np.ndarray, padding: int, rng: np.random.Generator, fill: int) -> np.ndarray:
    if padding == 0:
        return np.array(values, order="C")
    if values.dtype.kind in "iu" and not _holds(values.dtype, fill):
        raise SpecError(f"fill must be a value that {values.dtype} holds, got {fill}")
    n, h, w, c = values.shape
    top, left = rng.integers(0, 2 * padding + 1, size=(2, n))
    border = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = np.pad(values, border, constant_values=fill)
    # Rows of w * c values are contiguous: every window is then copied row by row.
    rows = padded.reshape(n, h + 2 * padding, (w + 2 * padding) * c)
    windows = np.lib.stride_tricks.sliding_window_view(rows, (h, w * c), axis=(1, 2))
    return windows[np.arange(n), top, left * c].reshape(n, h, w, c)


def _holds(dtype: np.dtype, value: int) -> bool:
    limits = np.iinfo(dtype)
    return limits.min <= value <= limits.max
