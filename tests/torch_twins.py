"""The case study's networks once more in PyTorch's own words, from the papers and torchvision's parameter names.

Nothing here looks at our models: a twin that copied their structure would copy their mistakes.
"""

import torch
import torch.nn.functional as F
from torch import nn


def alexnet(classes, grid=6, c=(96, 256, 384, 384, 256), hidden=4096, groups=2):
    return AlexNet(classes, grid, c, hidden, groups)


class AlexNet(nn.Module):
    """Krizhevsky et al. 2012, sections 3.3 to 3.5; two towers are written as groups."""

    def __init__(self, classes, grid, c, hidden, groups):
        super().__init__()
        self.conv1 = nn.Conv2d(3, c[0], 11, 4)
        self.conv2 = nn.Conv2d(c[0], c[1], 5, padding=2, groups=groups)
        self.conv3 = nn.Conv2d(c[1], c[2], 3, padding=1)
        self.conv4 = nn.Conv2d(c[2], c[3], 3, padding=1, groups=groups)
        self.conv5 = nn.Conv2d(c[3], c[4], 3, padding=1, groups=groups)
        self.fc6 = nn.Linear(c[4] * grid * grid, hidden)
        self.fc7, self.fc8 = nn.Linear(hidden, hidden), nn.Linear(hidden, classes)

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = conv(x).relu()
            squares = F.pad(x * x, (0, 0, 0, 0, 2, 2))  # the paper's own sum over five channels, α not divided
            total = sum(squares[:, i : i + x.shape[1]] for i in range(5))
            x = F.max_pool2d(x / (2 + 1e-4 * total) ** 0.75, 3, 2)
        x = self.conv5(self.conv4(self.conv3(x).relu()).relu()).relu()
        x = F.max_pool2d(x, 3, 2).flatten(1)
        return self.fc8(self.fc7(self.fc6(x).relu()).relu())


class AlexNetTorchvision(nn.Module):
    def __init__(self, classes, c=(64, 192, 384, 256, 256), hidden=4096):
        super().__init__()
        convs = {"0": (3, c[0], 11, 4, 2), "3": (c[0], c[1], 5, 1, 2)}
        convs |= {str(n): (c[i], c[i + 1], 3, 1, 1) for n, i in ((6, 1), (8, 2), (10, 3))}
        self.features = nn.ModuleDict({name: nn.Conv2d(*settings) for name, settings in convs.items()})
        sizes = (c[4] * 36, hidden, hidden, classes)
        self.classifier = nn.ModuleDict({n: nn.Linear(*sizes[i : i + 2]) for i, n in enumerate("146")})

    def forward(self, x):
        for name, conv in self.features.items():
            x = conv(x).relu()
            if name in ("0", "3", "10"):
                x = F.max_pool2d(x, 3, 2)
        x = F.adaptive_avg_pool2d(x, 6).flatten(1)
        for name, fc in self.classifier.items():
            x = fc(x) if name == "6" else fc(x).relu()
        return x


# kernel sizes by stage
VGG = {
    "vgg11": ("3", "3", "33", "33", "33"),
    "vgg11_lrn": ("3", "3", "33", "33", "33"),
    "vgg13": ("33", "33", "33", "33", "33"),
    "vgg16_c": ("33", "33", "331", "331", "331"),
    "vgg16": ("33", "33", "333", "333", "333"),
    "vgg19": ("33", "33", "3333", "3333", "3333"),
}


class VGGTwin(nn.Module):
    def __init__(self, name, classes, width=64, hidden=4096, grid=7):
        super().__init__()
        layers, inside = [], 3
        for kernels, outside in zip(VGG[name], (width, 2 * width, 4 * width, 8 * width, 8 * width)):
            for kernel in kernels:
                layers += [nn.Conv2d(inside, outside, int(kernel), padding=int(kernel) // 2), nn.ReLU()]
                if name == "vgg11_lrn" and inside == 3:
                    layers.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
                inside = outside
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.grid = grid
        self.classifier = nn.Sequential(
            nn.Linear(inside * grid * grid, hidden), nn.ReLU(), nn.Identity(),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Identity(), nn.Linear(hidden, classes),
        )  # fmt: skip

    def forward(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), self.grid).flatten(1))


# ---- GoogLeNet ------------------------------------------------------------------------------------------


class Unit(nn.Module):
    def __init__(self, bn, inside, outside, kernel, **settings):
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, bias=not bn, **settings)
        if bn:
            self.bn = nn.BatchNorm2d(outside, eps=0.001)

    def forward(self, x):
        x = self.conv(x)
        return F.relu(self.bn(x) if hasattr(self, "bn") else x)


class InceptionTwin(nn.Module):
    def __init__(self, bn, inside, b1, r3, b3, r5, b5, p):
        super().__init__()
        large = 3 if bn else 5
        self.branch1 = Unit(bn, inside, b1, 1)
        self.branch2 = nn.Sequential(Unit(bn, inside, r3, 1), Unit(bn, r3, b3, 3, padding=1))
        self.branch3 = nn.Sequential(Unit(bn, inside, r5, 1), Unit(bn, r5, b5, large, padding=large // 2))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), Unit(bn, inside, p, 1))

    def forward(self, x):
        return torch.cat((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)), 1)


class AuxTwin(nn.Module):
    def __init__(self, bn, inside, classes):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4) if bn else nn.AvgPool2d(5, 3)
        self.conv = Unit(bn, inside, 128, 1)
        self.fc1, self.fc2 = nn.Linear(2048, 1024), nn.Linear(1024, classes)

    def forward(self, x):
        return self.fc2(self.fc1(self.conv(self.pool(x)).flatten(1)).relu())


class GoogLeNetTwin(nn.Module):
    def __init__(self, classes, bn, aux):
        super().__init__()
        self.conv1 = Unit(bn, 3, 64, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.conv3 = Unit(bn, 64, 64, 1), Unit(bn, 64, 192, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception3a = InceptionTwin(bn, 192, 64, 96, 128, 16, 32, 32)
        self.inception3b = InceptionTwin(bn, 256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception4a = InceptionTwin(bn, 480, 192, 96, 208, 16, 48, 64)
        self.inception4b = InceptionTwin(bn, 512, 160, 112, 224, 24, 64, 64)
        self.inception4c = InceptionTwin(bn, 512, 128, 128, 256, 24, 64, 64)
        self.inception4d = InceptionTwin(bn, 512, 112, 144, 288, 32, 64, 64)
        self.inception4e = InceptionTwin(bn, 528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = nn.MaxPool2d(2 if bn else 3, 2, ceil_mode=True)
        self.inception5a = InceptionTwin(bn, 832, 256, 160, 320, 32, 128, 128)
        self.inception5b = InceptionTwin(bn, 832, 384, 192, 384, 48, 128, 128)
        if aux:
            self.aux1, self.aux2 = AuxTwin(bn, 512, classes), AuxTwin(bn, 528, classes)
        self.fc = nn.Linear(1024, classes)
        self.norm = nn.Identity() if bn else nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
        self.aux = aux

    def forward(self, x):
        x = self.norm(self.maxpool1(self.conv1(x)))
        x = self.maxpool2(self.norm(self.conv3(self.conv2(x))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        a = x = self.inception4a(x)
        b = x = self.inception4d(self.inception4c(self.inception4b(x)))
        x = self.maxpool4(self.inception4e(x))
        x = self.fc(self.inception5b(self.inception5a(x)).mean((2, 3)))
        return (x, self.aux1(a), self.aux2(b)) if self.aux else x


# ---- residual and dense networks ------------------------------------------------------------------------


def conv(inside, outside, kernel, stride=1):
    return nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)


class BasicTwin(nn.Module):
    growth = 1

    def __init__(self, inside, planes, stride, shortcut="B"):
        super().__init__()
        self.conv1, self.bn1 = conv(inside, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3), nn.BatchNorm2d(planes)
        self.kind, self.changes, self.planes = shortcut, stride != 1 or inside != planes, planes
        if shortcut == "B" and self.changes:
            self.downsample = nn.Sequential(conv(inside, planes, 1, stride), nn.BatchNorm2d(planes))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.kind == "B":
            out = out + (self.downsample(x) if self.changes else x)
        elif self.kind == "A":
            side = self.planes // 4
            out = out + (F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side)) if self.changes else x)
        return F.relu(out)


class BottleneckTwin(nn.Module):
    growth = 4

    def __init__(self, inside, planes, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(inside, planes, 1), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = conv(planes, planes * 4, 1), nn.BatchNorm2d(planes * 4)
        self.downsample = None
        if stride != 1 or inside != planes * 4:
            self.downsample = nn.Sequential(conv(inside, planes * 4, 1, stride), nn.BatchNorm2d(planes * 4))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn1(self.conv1(x)).relu()
        out = self.bn2(self.conv2(out)).relu()
        return (self.bn3(self.conv3(out)) + identity).relu()


RESNET = {
    18: (BasicTwin, 2, 2, 2, 2), 34: (BasicTwin, 3, 4, 6, 3), 50: (BottleneckTwin, 3, 4, 6, 3),
    101: (BottleneckTwin, 3, 4, 23, 3), 152: (BottleneckTwin, 3, 8, 36, 3),
}  # fmt: skip


def stage(block, inside, planes, count, stride, *more):
    rest = [block(planes * block.growth, planes, 1, *more) for _ in range(count - 1)]
    return nn.Sequential(block(inside, planes, stride, *more), *rest)


class ResNetTwin(nn.Module):
    def __init__(self, depth, classes, width=64):
        super().__init__()
        block, n1, n2, n3, n4 = RESNET[depth]
        g = block.growth
        self.conv1, self.bn1 = conv(3, width, 7, 2), nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = stage(block, width, width, n1, 1)
        self.layer2 = stage(block, width * g, 2 * width, n2, 2)
        self.layer3 = stage(block, 2 * width * g, 4 * width, n3, 2)
        self.layer4 = stage(block, 4 * width * g, 8 * width, n4, 2)
        self.fc = nn.Linear(8 * width * g, classes)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class ResNetCIFARTwin(nn.Module):
    """As in github.com/akamaster/pytorch_resnet_cifar10."""

    def __init__(self, depth, classes=10, width=16, shortcut="A"):
        super().__init__()
        n = (depth - 2) // 6
        self.conv1, self.bn1 = conv(3, width, 3), nn.BatchNorm2d(width)
        self.layer1 = stage(BasicTwin, width, width, n, 1, shortcut)
        self.layer2 = stage(BasicTwin, width, 2 * width, n, 2, shortcut)
        self.layer3 = stage(BasicTwin, 2 * width, 4 * width, n, 2, shortcut)
        self.linear = nn.Linear(4 * width, classes)

    def forward(self, x):
        out = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(F.avg_pool2d(out, out.shape[3]).flatten(1))


class DenseLayerTwin(nn.Module):
    def __init__(self, inside, k):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inside), conv(inside, 4 * k, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * k), conv(4 * k, k, 3)

    def forward(self, earlier):
        x = self.conv1(self.norm1(torch.cat(earlier, 1)).relu())
        return self.conv2(self.norm2(x).relu())


class DenseBlockTwin(nn.ModuleDict):
    def forward(self, x):
        maps = [x]
        for layer in self.values():
            maps.append(layer(maps))
        return torch.cat(maps, 1)


DENSENET = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}


class DenseNetTwin(nn.Module):
    def __init__(self, depth, classes, k=32):
        super().__init__()
        inside = 2 * k
        self.features = nn.Sequential()
        self.features.conv0, self.features.norm0 = conv(3, inside, 7, 2), nn.BatchNorm2d(inside)
        self.features.relu0, self.features.pool0 = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        for number, layers in enumerate(DENSENET[depth]):
            named = {f"denselayer{i + 1}": DenseLayerTwin(inside + i * k, k) for i in range(layers)}
            self.features.add_module(f"denseblock{number + 1}", DenseBlockTwin(named))
            inside += layers * k
            if number < 3:
                transition = nn.Sequential()
                transition.norm, transition.relu = nn.BatchNorm2d(inside), nn.ReLU()
                transition.conv, transition.pool = conv(inside, inside // 2, 1), nn.AvgPool2d(2, 2)
                self.features.add_module(f"transition{number + 1}", transition)
                inside //= 2
        self.features.norm5 = nn.BatchNorm2d(inside)
        self.classifier = nn.Linear(inside, classes)

    def forward(self, x):
        return self.classifier(F.relu(self.features(x)).mean((2, 3)))


class FireTwin(nn.Module):
    def __init__(self, inside, s, e1, e3):
        super().__init__()
        self.squeeze = nn.Conv2d(inside, s, 1)
        self.expand1x1, self.expand3x3 = nn.Conv2d(s, e1, 1), nn.Conv2d(s, e3, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat((self.expand1x1(x).relu(), self.expand3x3(x).relu()), 1)


class SqueezeNetTwin(nn.Module):
    def __init__(self, classes):
        super().__init__()
        pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), FireTwin(64, 16, 64, 64), FireTwin(128, 16, 64, 64), pool(),
            FireTwin(128, 32, 128, 128), FireTwin(256, 32, 128, 128), pool(), FireTwin(256, 48, 192, 192),
            FireTwin(384, 48, 192, 192), FireTwin(384, 64, 256, 256), FireTwin(512, 64, 256, 256),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Identity(), nn.Conv2d(512, classes, 1), nn.ReLU())

    def forward(self, x):
        return self.classifier(self.features(x)).mean((2, 3))
