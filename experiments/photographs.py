"""The CIFAR-10 images that the experiments train and test on: fixed subsets, standardised."""

from __future__ import annotations

import numpy as np

from zerohero import datasets

# Mean and standard deviation of the 50,000 training images in each colour; subsets are standardised alike.
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def cifar10(images: int | None = None) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training images and labels (so many, equally of all classes; all if None), and the test images at hand."""
    train, test = datasets.load("cifar10", "train"), datasets.load("cifar10", "test")
    if images is not None and images < len(train):
        train = train.split(images / len(train), seed=0)[0]
    return (standardised(train.images), train.labels), (standardised(test.images), test.labels)


def standardised(images: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1 in each colour: (N, 3, H, W) in [0, 1] to about [-2, 2]."""
    mean, deviation = (np.asarray(each, np.float32)[:, None, None] for each in (MEAN, DEVIATION))
    return (images - mean) / deviation
