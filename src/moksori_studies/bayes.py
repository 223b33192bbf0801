"""Naive Bayes is a softmax; with two classes, a sigmoid; with Gaussians of one width, logistic regression.

    python -m moksori_studies.bayes

Bayes: P(y | x) = P(x | y) P(y) / sum over all y' of P(x | y') P(y'). Call a(y) = ln P(x | y) P(y), and write each
product as e^a: what stands there is softmax(a). "Naive" is to take the features as independent once the class is known,
so that a(y) = ln P(y) + sum of ln P(x_k | y). With two classes both parts of the fraction may be divided by the first,

    P(1 | x) = 1 / (1 + e^-(a_1 - a_2))

the sigmoid of the log-odds (mind the sign). If the features are Gaussian and each has the same width in all classes,
then x^2 is in every a(y) alike and drops out: what is left is linear in x, the form of logistic regression.

A WaveNet ends in a softmax, too, but assumes no independence: it keeps the whole chain rule, p(x_t | all before t).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moksori_studies import commands

Array = NDArray[np.float64]


def softmax(scores: Array) -> Array:
    """e^a divided by its sum over the last axis; the largest score is taken off first, so that nothing overflows."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def sigmoid(score: Array) -> Array:
    """1 / (1 + e^-a)."""
    return np.asarray(1 / (1 + np.exp(-score)))


def bayes(likelihoods: Array, priors: Array) -> Array:
    """P(y | x) word for word: products of probabilities, divided by their sum.

    Args:
        likelihoods: P(x_k | y), [..., classes, features].
        priors: P(y), [classes].
    """
    products = priors * likelihoods.prod(-1)
    return np.asarray(products / products.sum(-1, keepdims=True))


def log_scores(likelihoods: Array, priors: Array) -> Array:
    """a(y) = ln P(y) + sum of ln P(x_k | y), [..., classes]."""
    return np.asarray(np.log(priors) + np.log(likelihoods).sum(-1))


@dataclass(frozen=True)
class Gaussians:
    """Classes whose features are Gaussian and independent, each feature with one width in all classes."""

    priors: Array  # [classes]
    means: Array  # [classes, features]
    widths: Array  # standard deviations, [features]

    def likelihoods(self, x: Array) -> Array:
        """Densities of features [n, features] -> [n, classes, features]."""
        z = (x[:, None] - self.means) / self.widths
        return np.asarray(np.exp(-0.5 * z**2) / (self.widths * np.sqrt(2 * np.pi)))

    def linear(self) -> tuple[Array, Array]:
        """Weights [classes, features] and biases [classes] such that softmax(W x + b) is Bayes.

        -(x - m)^2 / 2 s^2 = -x^2 / 2 s^2 + (m / s^2) x - m^2 / 2 s^2, and the first part is the same for all classes.
        """
        weights = self.means / self.widths**2
        return weights, np.log(self.priors) - 0.5 * (self.means**2 / self.widths**2).sum(-1)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Array, NDArray[np.int64]]:
        """`n` points [n, features] and their classes [n]."""
        classes = rng.choice(len(self.priors), size=n, p=self.priors)
        return self.means[classes] + self.widths * rng.standard_normal((n, self.means.shape[1])), classes


def fit_gaussians(x: Array, classes: NDArray[np.int64]) -> Gaussians:
    """Naive Bayes as it is learnt: count, average, measure the width around the class's own mean."""
    n_classes = int(classes.max()) + 1
    means = np.stack([x[classes == y].mean(0) for y in range(n_classes)])
    return Gaussians(np.bincount(classes) / len(x), means, np.sqrt(((x - means[classes]) ** 2).mean(0)))


def fit_logistic(x: Array, classes: NDArray[np.int64], n_steps: int = 25) -> tuple[Array, float]:
    """Logistic regression of two classes by Newton's method: weights [features] and bias for ln P(1 | x) / P(0 | x)."""
    wide = np.column_stack([x, np.ones(len(x))])
    beta = np.zeros(wide.shape[1])
    for _ in range(n_steps):
        chance = sigmoid(wide @ beta)
        curvature = (wide * (chance * (1 - chance))[:, None]).T @ wide
        beta += np.linalg.solve(curvature, wide.T @ (classes - chance))
    return beta[:-1], float(beta[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="bayes", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    rng = np.random.default_rng(parser.parse_args(arguments).seed)

    def show(what: str, one: Array, other: Array) -> None:
        print(f"  {what:45}{np.abs(one - other).max():.0e}")

    print("1000 drawn cases, 5 classes, 8 independent features; largest difference of a probability")
    priors = rng.dirichlet(np.ones(5))
    likelihoods = rng.uniform(0.01, 1, (1000, 5, 8))
    scores = log_scores(likelihoods, priors)
    show("Bayes, softmax of the log-products", bayes(likelihoods, priors), softmax(scores))
    two = bayes(likelihoods[:, :2], priors[:2])[:, 0]
    show("two classes, sigmoid of the log-odds", two, sigmoid(scores[:, 0] - scores[:, 1]))

    truth = Gaussians(np.array([0.6, 0.4]), np.array([[0.0, 0.0, 1.0], [1.0, -0.5, 1.0]]), np.array([1.0, 0.5, 2.0]))
    x, classes = truth.draw(100_000, rng)
    weights, biases = truth.linear()
    exact = bayes(truth.likelihoods(x), truth.priors)
    show("Gaussians of one width, softmax(W x + b)", exact, softmax(x @ weights.T + biases))

    print("\n100,000 points of two Gaussian classes: weights of the log-odds, and the bias")
    learnt_weights, learnt_biases = fit_gaussians(x, classes).linear()
    logistic_weights, logistic_bias = fit_logistic(x, classes)
    for name, w, b in (
        ("true", weights[1] - weights[0], biases[1] - biases[0]),
        ("naive Bayes, counted", learnt_weights[1] - learnt_weights[0], learnt_biases[1] - learnt_biases[0]),
        ("logistic regression, fitted", logistic_weights, logistic_bias),
    ):
        print(f"  {name:28}" + "".join(f"{value:8.3f}" for value in [*w, b]))


if __name__ == "__main__":
    commands.start(main)
