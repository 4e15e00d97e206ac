"""Layers that own parameters, and the `Module` they are made of; the arithmetic itself is in `zerohero.ops`."""

from zerohero.nn import init
from zerohero.nn.capsule import CapsuleLayer, Decoder, PrimaryCaps, mask_capsules
from zerohero.nn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Identity,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from zerohero.nn.module import Module, Sequential, observe
from zerohero.tensor import Parameter

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "CapsuleLayer",
    "Conv2d",
    "ConvTranspose2d",
    "Decoder",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "Module",
    "Parameter",
    "PrimaryCaps",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "init",
    "mask_capsules",
    "observe",
]
