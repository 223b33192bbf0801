"""Naive Bayes is a softmax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from moksori_studies import bayes
from moksori_studies.bayes import Gaussians, fit_gaussians, fit_logistic, log_scores, sigmoid, softmax

RNG = np.random.default_rng(0)


def test_bayes_is_the_softmax_of_the_log_products() -> None:
    priors, likelihoods = RNG.dirichlet(np.ones(6)), RNG.uniform(0.001, 1, (500, 6, 10))
    assert np.abs(bayes.bayes(likelihoods, priors) - softmax(log_scores(likelihoods, priors))).max() < 1e-12


def test_two_classes_are_the_sigmoid_of_the_log_odds() -> None:
    priors, likelihoods = np.array([0.3, 0.7]), RNG.uniform(0.001, 1, (500, 2, 10))
    scores = log_scores(likelihoods, priors)
    wanted = bayes.bayes(likelihoods, priors)[:, 0]
    assert np.abs(wanted - sigmoid(scores[:, 0] - scores[:, 1])).max() < 1e-12
    assert np.abs(wanted - sigmoid(scores[:, 1] - scores[:, 0])).max() > 0.1  # the sign matters


def test_one_case_worked_by_hand() -> None:
    # Rain or sun; wet street 0.9 or 0.1, umbrella 0.8 or 0.2; rain on 1 day of 4: 0.18 to 0.015.
    likelihoods = np.array([[[0.9, 0.8], [0.1, 0.2]]])
    assert bayes.bayes(likelihoods, np.array([0.25, 0.75]))[0, 0] == pytest.approx(0.18 / 0.195)


def test_softmax_survives_large_scores() -> None:
    assert softmax(np.array([1000.0, 1000.0])).tolist() == [0.5, 0.5]


TRUTH = Gaussians(np.array([0.6, 0.4]), np.array([[0.0, 0.0, 1.0], [1.0, -0.5, 1.0]]), np.array([1.0, 0.5, 2.0]))


def test_gaussians_of_one_width_are_linear() -> None:
    x, _ = TRUTH.draw(500, np.random.default_rng(1))
    weights, biases = TRUTH.linear()
    wanted = bayes.bayes(TRUTH.likelihoods(x), TRUTH.priors)
    assert np.abs(wanted - softmax(x @ weights.T + biases)).max() < 1e-12


def test_naive_bayes_and_logistic_regression_find_the_same_weights() -> None:
    x, classes = TRUTH.draw(40_000, np.random.default_rng(2))
    weights, biases = fit_gaussians(x, classes).linear()
    logistic, bias = fit_logistic(x, classes)
    true_weights, true_biases = TRUTH.linear()
    # A weight's standard error is about 0.015 here (features of width 1 or 2) or 0.03 (of width 0.5).
    assert logistic == pytest.approx(true_weights[1] - true_weights[0], abs=0.1)
    assert weights[1] - weights[0] == pytest.approx(logistic, abs=0.1)
    assert bias == pytest.approx(true_biases[1] - true_biases[0], abs=0.1)
    assert biases[1] - biases[0] == pytest.approx(bias, abs=0.1)


def test_classes_of_different_widths_are_not_linear() -> None:
    # What naive Bayes fits with one width is then wrong, so the test above can fail.
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(0, 1, (2000, 1)), rng.normal(0, 3, (2000, 1))])
    classes = np.repeat([0, 1], 2000)
    found = fit_gaussians(x, classes)
    chance = bayes.bayes(found.likelihoods(x), found.priors)[:, 1]
    true_chance = sigmoid(-np.log(3) + 0.5 * x[:, 0] ** 2 * (1 - 1 / 9))
    assert np.abs(chance - true_chance).mean() > 0.15


def test_the_page_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    bayes.main([])
    printed = capsys.readouterr().out
    assert "true                           1.000  -2.000   0.000  -1.405" in printed
    page = (Path(__file__).parents[2] / "docs/studies/bayes.md").read_text(encoding="utf-8")
    weights = printed.partition("100,000 points")[2]
    assert weights in page  # above them stand rounding errors, which may be others on other machines
