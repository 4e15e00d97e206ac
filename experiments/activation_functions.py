"""How much faster does a network learn with ReLU than with tanh or sigmoid, as in figure 1 of the AlexNet paper?"""

from photographs import cifar10
from recording import Recording, arguments, history

import zerohero as zh
from zerohero import nn, optim, training

FUNCTIONS = {"relu": zh.relu, "tanh": zh.tanh, "sigmoid": zh.sigmoid}
RATES = (0.003, 0.01, 0.03)  # every function may have the one that suits it best


class FourLayers(nn.Module):
    """Three convolutions with pooling, and a fully connected layer."""

    def __init__(self, activation):
        self.activation = activation
        self.conv1 = nn.Conv2d(3, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc = nn.Linear(64 * 4 * 4, 10)

    def forward(self, x):
        for conv in (self.conv1, self.conv2, self.conv3):
            x = zh.max_pool2d(self.activation(conv(x)), 2)
        return self.fc(zh.flatten(x))


def main() -> None:
    options = arguments(__doc__, images=5_000, epochs=15)
    zh.use_backend(options.backend)
    train, test = cifar10(options.images)
    recording = Recording("activation_functions", __doc__, vars(options))

    def learn(activation: str, lr: float, seed: int) -> dict:
        zh.seed(seed)
        model = FourLayers(FUNCTIONS[activation])
        optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        curves = training.fit(model, train, validation=test, epochs=options.epochs, optimizer=optimizer, seed=seed)
        return {"curves": history(curves), "parameters": model.num_parameters()}

    for activation in FUNCTIONS:
        for lr in RATES:
            recording.measure(learn, activation=activation, lr=lr, seed=0)


if __name__ == "__main__":
    main()
