"""MNIST (LeCun et al. 1998; Hu et al. 2023, Table 7): handwritten digits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from training_maps.training.tasks import Classification, Data, setting
from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import torch

_IMAGE = (1, 28, 28)
_ONLY_FOR = {"hidden_size": "mlp", "initialisation": "mlp", "batch_norm": "lenet5"}


@dataclass(frozen=True)
class Mnist(Classification):
    """Digits of 28x28 pixels, with cross entropy, learned by a perceptron or a LeNet-5."""

    shared_data: ClassVar[bool] = True

    dataset: str = setting(
        "mnist",
        "mnist; mnist_t10k (its test digits alone, for machines without the others); or the path "
        "of a .npz file of such images",
        minLength=1,
    )
    model: str = setting("mlp", "the network", enum=["mlp", "lenet5"])
    hidden_size: int = setting(800, "hidden units of the mlp", minimum=1)
    initialisation: str = setting(
        "torch",
        "how the mlp's weights start: torch's default, or Xavier-uniform with zero biases",
        enum=["torch", "xavier"],
    )
    batch_norm: bool = setting(False, "batch norm after each convolution of lenet5")

    def __post_init__(self) -> None:
        """Refuse settings of the network that is not trained."""
        for field in dataclasses.fields(self):
            model, value = _ONLY_FOR.get(field.name, self.model), getattr(self, field.name)
            if model != self.model and value != field.default:
                raise InputError(
                    f"task mnist: {field.name} ({value}) is for model {model}, and the model here "
                    f"is {self.model}; leave it out, or set model to {model}"
                )

    @property
    def side_by_side(self) -> bool:
        """Only perceptrons: for convolutions of stacked networks, CPUs have no fast code.

        Four stacked LeNet-5s took 1.8 times as long as one after another, at batch 256.
        """
        return self.model == "mlp"

    def data(self, generator: np.random.Generator) -> Data:
        """Pixels from 0 to 255 in uint8, which the network sees from 0 to 1, and digits in int64.

        Inputs are (n, 784) for the mlp and (n, 1, 28, 28) for lenet5; targets are (n,).

        Raises:
            InputError: if the data set cannot be had, or its images are not of 28x28 in grey.
        """
        from training_maps.training.datasets import load_of_shape

        images = load_of_shape(self.dataset, _IMAGE)
        inputs = (-1,) if self.model == "mlp" else _IMAGE
        return Data(
            images.train_images.reshape(len(images.train_images), *inputs),
            images.train_labels,
            images.eval_images.reshape(len(images.eval_images), *inputs),
            images.eval_labels,
            mean=np.zeros(1, np.float32),
            std=np.full(1, 255, np.float32),
        )

    def network(self) -> torch.nn.Module:
        """An MLP 784 - hidden_size - n_classes, or a LeNet-5."""
        from training_maps.training.datasets import n_classes

        n_outputs = n_classes(self.dataset)
        if self.model == "lenet5":
            from training_maps.training.models.lenet import LeNet5

            return LeNet5(n_outputs, batch_norm=self.batch_norm)
        from training_maps.training.models.mlp import MLP

        return MLP(784, self.hidden_size, n_outputs, initialisation=self.initialisation)
