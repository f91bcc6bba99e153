"""Data sets to train and test on: MNIST, CIFAR-10, digits, one's own; nothing is unpickled."""

from lsqsim.data_sets.augmentation import Augmentation, Flip, augmented
from lsqsim.data_sets.cifar10 import load_cifar10_data_set
from lsqsim.data_sets.digits import load_digits_data_set
from lsqsim.data_sets.idx import load_idx_data_set
from lsqsim.data_sets.loading import load_data_set
from lsqsim.data_sets.npz import load_npz_data_set
from lsqsim.data_sets.samples import DataSet, Samples

__all__ = [
    "Augmentation",
    "DataSet",
    "Flip",
    "Samples",
    "augmented",
    "load_cifar10_data_set",
    "load_data_set",
    "load_digits_data_set",
    "load_idx_data_set",
    "load_npz_data_set",
]
