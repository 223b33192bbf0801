"""Virtual singers: the laws of the share, and who is mixed in."""

import numpy as np
import pytest
from scipy import stats

from moksori.training.phases import mixup
from moksori.training.phases.mixup import MixupConfig


def test_the_default_share_follows_beta_02_02():
    drawn = mixup.shares(MixupConfig(), 4000, np.random.default_rng(0))
    assert stats.kstest(drawn, "beta", args=(0.2, 0.2)).pvalue > 0.01
    # Two draws in three lie within 0.1 of an end: the law is U-shaped, not a bell.
    assert np.mean((drawn < 0.1) | (drawn > 0.9)) == pytest.approx(0.673, abs=0.03)


def test_the_uniform_share_is_uniform():
    drawn = mixup.shares(MixupConfig(law="uniform"), 4000, np.random.default_rng(1))
    assert stats.kstest(drawn, "uniform").pvalue > 0.01


def test_a_fixed_share_is_fixed_and_zero_by_default():
    assert mixup.shares(MixupConfig(law="fixed"), 3, np.random.default_rng(0)).tolist() == [0, 0, 0]
    assert mixup.shares(MixupConfig(law="fixed", fixed_share=0.7), 2, np.random.default_rng(0)).tolist() == [0.7, 0.7]


def test_the_true_singer_may_keep_the_larger_share():
    drawn = mixup.shares(MixupConfig(keeps_larger_share=True), 1000, np.random.default_rng(2))
    assert drawn.min() >= 0.5
    # E[max(w, 1 - w)] under Beta(0.2, 0.2) is 0.899.
    assert drawn.mean() == pytest.approx(0.899, abs=0.02)


@pytest.mark.parametrize("n_singers", [2, 3, 8])
def test_the_partner_is_any_other_singer_and_never_oneself(n_singers):
    singers = np.arange(6000) % n_singers
    others = mixup.partners(singers, n_singers, np.random.default_rng(3))
    assert not np.any(others == singers)
    steps = np.bincount((others - singers) % n_singers, minlength=n_singers)[1:]
    assert stats.chisquare(steps).pvalue > 0.01 if n_singers > 2 else steps.tolist() == [6000]


def test_nobody_can_be_mixed_with_oneself():
    with pytest.raises(ValueError, match="at least two singers"):
        mixup.partners(np.array([0]), 1, np.random.default_rng(0))


@pytest.mark.parametrize("wrong", [{"law": "normal"}, {"beta_parameter": 0.0}, {"fixed_share": 1.5}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"known laws are|must be positive"):
        MixupConfig(**wrong)
