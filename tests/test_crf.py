"""The dense CRF against the sum over all pairs, against pydensecrf, and with input that it can't use."""

from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
from vwl.crf import CRF_SETTINGS, crf_of_labels, dense_crf, named_crf
from vwl.data.scenes import draw_scene
from vwl.lattice import Lattice

PHOTOGRAPHS = Path(__file__).parents[2] / 'shared' / 'msrc-objects14' / 'images'


def exact_kernel(features):
    "The normalised Gaussian of all pairs, in float64."
    K = (-torch.cdist(features.T.double(), features.T.double()).square() / 2).exp()
    norm = K.sum(1).rsqrt()
    return norm[:, None] * K * norm


def exact_crf(image, probabilities, s):
    "Mean field with sums over all pairs."
    (H, W), L = image.shape[:2], len(probabilities)
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing='ij')
    xy, rgb = torch.stack([x, y]).reshape(2, -1).float(), torch.from_numpy(image.reshape(-1, 3).T.copy()).float()
    bilateral = torch.cat([xy / s.bilateral_xy, rgb / s.bilateral_rgb])
    K = s.gaussian_weight * exact_kernel(xy / s.gaussian_xy) + s.bilateral_weight * exact_kernel(bilateral)
    logits = torch.from_numpy(np.log(probabilities.clip(1e-5)).reshape(L, -1).T).double()
    Q = logits.softmax(1)
    for _ in range(s.iterations):
        Q = (logits + K @ Q).softmax(1)
    return Q.T.reshape(L, H, W).numpy()


def soft_labels(shape, n, seed):
    "(n, H, W): smooth probabilities."
    noise = torch.randn(1, n, 6, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise * 3, shape, mode='bicubic')[0].softmax(0).numpy()


@pytest.mark.parametrize('name', CRF_SETTINGS)
@pytest.mark.parametrize('n', [2, 5])
def test_near_the_sum_over_all_pairs(name, n):
    "As near as the lattice, an approximation, comes to the sum: 2_refinement/02_lattice shows how near."
    image = draw_scene(5).image[:40, :52]
    probabilities = soft_labels(image.shape[:2], n, 1)
    ours, exact = (
        dense_crf(image, probabilities, CRF_SETTINGS[name]),
        exact_crf(image, probabilities, CRF_SETTINGS[name]),
    )
    assert np.mean(ours.argmax(0) == exact.argmax(0)) > 0.9
    assert np.abs(ours - exact).mean() < 0.05
    assert np.abs(ours.sum(0) - 1).max() < 1e-5


def test_scenes_as_pydensecrf():
    pytest.importorskip('pydensecrf')
    for i in range(6):
        image = draw_scene(i).image
        for n in 2, 4:
            probabilities = soft_labels(image.shape[:2], n, i)
            a, b = (dense_crf(image, probabilities, named_crf('vwl', e)) for e in ('torch', 'pydensecrf'))
            assert np.mean(a.argmax(0) == b.argmax(0)) >= 0.9999 and np.abs(a - b).mean() < 1e-4


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason='the photographs are not there')
def test_photographs_as_pydensecrf():
    "Fifty photographs, both ways of use: 99.99 % of all labels are the same."
    pytest.importorskip('pydensecrf')
    same = []
    for i, path in enumerate(sorted(PHOTOGRAPHS.iterdir())[::8][:50]):
        image, n = np.asarray(Image.open(path).convert('RGB')), 2 + i % 4
        probabilities = soft_labels(image.shape[:2], n, i)
        labels = [probabilities.argmax(0), np.zeros(image.shape[:2], int)]
        ours, theirs = (
            [dense_crf(image, probabilities, named_crf('vwl', e)).argmax(0)]
            + crf_of_labels(image, labels, n, settings=named_crf('irnet', e))
            for e in ('torch', 'pydensecrf')
        )
        same += [np.mean(a == b) for a, b in zip(ours, theirs)]
    assert len(same) == 150 and np.mean(same) >= 0.9999, (np.mean(same), min(same))


def test_what_it_cannot_use():
    image, two = np.zeros((20, 30, 3), np.uint8), np.full((2, 20, 30), 0.5)
    with pytest.raises(ValueError, match='must have one size'):
        dense_crf(image, two[:, :, :20])
    with pytest.raises(ValueError, match='must have one size'):
        dense_crf(image[..., 0], two)
    with pytest.raises(ValueError, match='must have one size'):
        crf_of_labels(image, [np.zeros((20, 20), int)], 2)
    with pytest.raises(ValueError, match='finite'):
        dense_crf(image, two * np.nan)
    with pytest.raises(ValueError, match='no engine'):
        dense_crf(image, two, replace(CRF_SETTINGS['vwl'], engine='other'))


def test_smallest_and_one_label():
    image = np.zeros((1, 1, 3), np.uint8)
    assert np.allclose(dense_crf(image, np.array([0.3, 0.7]).reshape(2, 1, 1)).sum(0), 1)
    assert np.array_equal(dense_crf(image, np.ones((1, 1, 1))), np.ones((1, 1, 1)))
    assert crf_of_labels(image, [np.zeros((1, 1), int)], 1)[0].dtype == np.uint8


def test_one_label_more_that_nobody_has():
    "A label without probability takes nothing away from the others."
    image = draw_scene(2).image
    two = soft_labels(image.shape[:2], 2, 3)
    three = np.concatenate([two, np.zeros_like(two[:1])])
    assert np.array_equal(dense_crf(image, two).argmax(0), dense_crf(image, three).argmax(0))


def test_images_share_a_lattice_unseen():
    "Several images in one lattice filter as each alone."
    features = torch.randn(2, 5, 300, generator=torch.Generator().manual_seed(1)) * 4
    values = torch.rand(2, 300, 2, generator=torch.Generator().manual_seed(2))
    alone = torch.cat([Lattice(f).filter(v) for f, v in zip(features, values)])
    together = Lattice(torch.cat([*features], 1), torch.arange(2).repeat_interleave(300)).filter(values.flatten(0, 1))
    assert (alone - together).abs().max() < 1e-4


@pytest.mark.parametrize('columns', [1, 8, 9])
def test_columns_and_rows(columns):
    "Few columns are blurred one by one, many all at once, with the same values."
    lattice = Lattice(torch.randn(2, 400, generator=torch.Generator().manual_seed(1)) * 5)
    values = torch.rand(400, columns, generator=torch.Generator().manual_seed(2))
    each = torch.cat([lattice.filter(v[:, None]) for v in values.T], 1)
    assert (lattice.filter(values) - each).abs().max() < 1e-4
