"""Two digits in one image: networks that say which two, and a decoder that draws each of them alone."""

import numpy as np

import zerohero as zh
from zerohero import nn
from zerohero.datasets.multimnist import PAIRS
from zerohero.models.capsnet import lengths
from zerohero.operation import array_module


def pair_scores(scores):
    """Scores of ten digits (N, 10) as those of the 45 pairs (N, 45): the best pair is the top two."""
    return scores[:, PAIRS[:, 0]] + scores[:, PAIRS[:, 1]]


def both(labels):
    """Pairs (N,) as ones at both digits (N, 10)."""
    xp = array_module(labels)
    return (xp.asarray(PAIRS)[labels][:, :, None] == xp.arange(10)).any(axis=1).astype(np.float32)


class TwoDigits(nn.Module):
    """A CapsNet for pairs. Images (N, 3, H, W) hold the overlap, and each of its two digits, which are drawn."""

    def __init__(self, capsnet):
        self.capsnet = capsnet

    def forward(self, x):
        return self.capsnet(x[:, :1])

    def training_step(self, images, labels):
        v = self(zh.Tensor(images))
        loss = zh.margin_loss(v, both(labels))
        pairs = array_module(labels).asarray(PAIRS)[labels]
        for place in (0, 1):
            drawn = self.capsnet.decoder(v, pairs[:, place])
            target = images[:, 1 + place].reshape(len(images), -1)
            loss = loss + self.capsnet.reconstruction_weight * zh.reconstruction_loss(drawn, target)
        return loss, pair_scores(lengths(v.data))


class TwoDigitsPlain(nn.Module):
    """The same for an ordinary network: ten sigmoids and cross-entropy, as the paper trains its baseline."""

    def __init__(self, network):
        self.network = network

    def forward(self, x):
        return self.network(x[:, :1])

    def training_step(self, images, labels):
        scores = self(zh.Tensor(images))
        # -log sigmoid(s) where a digit is there, -log sigmoid(-s) elsewhere
        toward = scores * (2 * both(labels) - 1)
        loss = (1 + (-abs(toward)).exp()).log() + zh.relu(-toward)
        return loss.sum() / len(images), pair_scores(scores.data)


def three_channels(dataset):
    """The overlap and both digits of MultiMNIST as images (N, 3, 36, 36)."""
    return np.concatenate([dataset.images, dataset.extra["digits"].astype(np.float32) / 255], axis=1)
