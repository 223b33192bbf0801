import math

import pytest
import torch

from moksori.audio import mulaw

CODES = torch.arange(mulaw.N_CODES)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_every_code_survives_decode_then_encode(dtype: torch.dtype) -> None:
    assert torch.equal(mulaw.encode(mulaw.decode(CODES.to(dtype))), CODES)


def test_every_code_survives_in_double_precision() -> None:
    assert torch.equal(mulaw.encode(mulaw.decode(CODES).double()), CODES)


def test_negating_the_sound_mirrors_every_code() -> None:
    assert torch.equal(mulaw.encode(-mulaw.decode(CODES)), mulaw.MU - CODES)


def test_decoding_is_odd_and_rises() -> None:
    waveform = mulaw.decode(CODES)
    assert torch.equal(waveform, -waveform.flip(0))
    assert (waveform.diff() > 0).all()
    assert waveform.dtype == torch.float32


def test_decode_is_the_textbook_inverse() -> None:
    for code in range(mulaw.N_CODES):
        f = 2 * code / 255 - 1
        expected = math.copysign((256 ** abs(f) - 1) / 255, f)
        assert mulaw.decode(torch.tensor(code)).item() == pytest.approx(expected, rel=1e-5)


def test_encode_is_the_textbook_formula_by_hand() -> None:
    # f(0.1) = ln(26.5) / ln(256) = 0.59099; (f + 1) / 2 * 255 = 202.85
    assert mulaw.encode(torch.tensor([0.1, -0.1])).tolist() == [203, 52]


def test_silence_is_128_whatever_its_sign() -> None:
    assert mulaw.encode(torch.tensor([0.0, -0.0])).tolist() == [mulaw.SILENCE, mulaw.SILENCE]


def test_the_code_is_never_more_than_half_a_step_away() -> None:
    waveform = torch.linspace(-1, 1, 100_001, dtype=torch.float64)
    companded = torch.sign(waveform) * torch.log1p(255 * waveform.abs()) / math.log(256)
    error = (mulaw.encode(waveform) - (companded + 1) / 2 * 255).abs()
    assert error.max() <= 0.5 + 1e-9


def test_a_quiet_sine_keeps_37_db() -> None:
    # A pair that truncates, as in Universal Music Translation's code, has 26 dB here.
    sine = 0.1 * torch.sin(2 * torch.pi * 220 * torch.arange(16000) / 16000)
    error = mulaw.decode(mulaw.encode(sine)) - sine
    assert 10 * torch.log10(sine.square().mean() / error.square().mean()) > 37


def test_samples_outside_full_scale_are_clipped() -> None:
    assert mulaw.encode(torch.tensor([-3.0, 3.0, -torch.inf, torch.inf])).tolist() == [0, 255, 0, 255]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype: torch.dtype) -> None:
    waveform = torch.linspace(-1, 1, 999).to(dtype)
    assert torch.equal(mulaw.encode(waveform), mulaw.encode(waveform.float()))


@pytest.mark.parametrize("shape", [(), (0,), (2, 3, 5)])
def test_the_shape_stays(shape: tuple[int, ...]) -> None:
    codes = mulaw.encode(torch.zeros(shape))
    assert codes.shape == shape
    assert codes.dtype == torch.int64
    assert mulaw.decode(codes).shape == shape


@pytest.mark.parametrize("waveform", [torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.bool)])
def test_a_waveform_of_integers_is_refused(waveform: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="floating point"):
        mulaw.encode(waveform)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        mulaw.encode(torch.tensor([0.0, torch.nan]))


@pytest.mark.parametrize("code", [-1, 256])
def test_a_code_out_of_range_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match=r"expected 0\.\.255"):
        mulaw.decode(torch.tensor([5, code]))


@pytest.mark.parametrize("codes", [torch.zeros(3), torch.zeros(3, dtype=torch.bool)])
def test_codes_that_are_not_integers_are_refused(codes: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="integers"):
        mulaw.decode(codes)
