"""Layers that own parameters, and the `Module` they are made of; the arithmetic itself is in `zerohero.ops`."""

from zerohero.nn import init
from zerohero.nn.capsule import CapsuleLayer, Decoder, PrimaryCaps, mask_capsules
from zerohero.nn.dense import DenseBlock, DenseLayer, Transition
from zerohero.nn.inception import AuxiliaryClassifier, ConvReLU, Inception
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
from zerohero.nn.matrix_capsule import ClassMatrixCapsules, ConvMatrixCapsules, PrimaryMatrixCapsules
from zerohero.nn.module import Module, Sequential, observe
from zerohero.nn.residual import BasicBlock, Bottleneck, ResidualBlock, pad_shortcut
from zerohero.tensor import Parameter

__all__ = [
    "AdaptiveAvgPool2d",
    "AuxiliaryClassifier",
    "AvgPool2d",
    "BasicBlock",
    "BatchNorm1d",
    "BatchNorm2d",
    "Bottleneck",
    "CapsuleLayer",
    "ClassMatrixCapsules",
    "Conv2d",
    "ConvMatrixCapsules",
    "ConvReLU",
    "ConvTranspose2d",
    "Decoder",
    "DenseBlock",
    "DenseLayer",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "Identity",
    "Inception",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "Module",
    "Parameter",
    "PrimaryCaps",
    "PrimaryMatrixCapsules",
    "ReLU",
    "ResidualBlock",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Transition",
    "init",
    "mask_capsules",
    "observe",
    "pad_shortcut",
]
