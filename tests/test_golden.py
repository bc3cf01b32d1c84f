"""The published code's own values at full size; the small ones are in the notebooks. Skipped where the files aren't
there.
"""

from pathlib import Path
import numpy as np
import pytest
import torch
from vwl.affinity import pair_displacement, path_affinity, random_walk, search_paths, transition
from vwl.pixels import resize, to_tensor
from vwl.engine.arrays import load_arrays
from vwl.pooling import hybrid_pool
from vwl.crf import crf_of_labels, dense_crf, named_crf
from vwl.words import assign_words, decov_loss, word_frequencies, word_labels, word_probabilities
from PIL import Image

GOLDEN = Path(__file__).parents[2] / 'shared' / 'golden'
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason='full-size values of the published code are not there')


def golden(name):
    return load_arrays(GOLDEN / f'{name}.npz')


def tensors(name):
    return {k: torch.from_numpy(np.array(v)) for k, v in golden(name).items()}


@pytest.mark.parametrize('size', ['32x32', '24x32', '31x30', '13x17', '7x5', '8x12', '4x4', '5x9'])
def test_hybrid_pool(size):
    z = tensors('hybrid_pool')
    x = z[f'x_{size}'].double().requires_grad_()
    y = hybrid_pool(x)
    assert (y - z[f'y64_{size}'][..., 0, 0]).abs().max() < 1e-12
    (y * z[f'gy_{size}'][..., 0, 0]).sum().backward()
    assert (x.grad - z[f'gx_{size}']).abs().max() < 1e-7


@pytest.mark.parametrize('name, splits', [('y_lv1', (1,)), ('y_lv12', (1, 2)), ('y_lv1248', (1, 2, 4, 8))])
def test_splits(name, splits):
    z = tensors('hybrid_pool')
    assert (hybrid_pool(z['x_lv'], splits=splits) - z[name][..., 0, 0]).abs().max() < 1e-6


def test_words():
    z = tensors('cosine')
    c = z['centroid_c'][..., 0, 0].requires_grad_()
    P = word_probabilities(z['x_c'], c, float(z['tau_c']))
    f = word_frequencies(P, 'sum')
    (f * z['ghist_c'][..., 0, 0]).sum().backward()
    assert (P - z['P_c']).abs().max() < 1e-7 and (f - z['x_hist_c'][..., 0, 0]).abs().max() < 1e-5
    assert (
        torch.equal(word_labels(P).bool(), z['y_word_c']) and (c.grad - z['gcentroid_c'][..., 0, 0]).abs().max() < 1e-5
    )
    assert torch.equal(assign_words(word_probabilities(z['x_c'], c)), z['mbk_label_c'])


def test_decov():
    z = tensors('decov')
    c = z['centroid_c'][..., 0, 0].requires_grad_()
    loss = decov_loss(c, 'code')
    loss.backward()
    assert abs(loss - z['loss64_c']) < 1e-5 and (c.grad[:8, :64] - z['grad_c'][..., 0, 0]).abs().max() < 1e-5


@pytest.mark.parametrize('engine, most', [('torch', 1e-3), ('pydensecrf', 1e-5)])
def test_crf(engine, most):
    "The labels are the published ones; a pixel on the border of two simplices may hear a little else."
    if engine == 'pydensecrf':
        pytest.importorskip('pydensecrf')
    z = golden('crf')
    for n in 2, 3, 21:
        for name, published in ('vwl', f'Q_{n}'), ('deeplab', f'Q_deeplab_{n}'):
            ours = dense_crf(z['img'], z[f'prob_{n}'], named_crf(name, engine))
            assert np.abs(ours - z[published]).max() < most
            assert np.array_equal(ours.argmax(0), z[published].argmax(0))
        labels = crf_of_labels(z['img'], [z[f'lab_{n}']] * 2, n, settings=named_crf('irnet', engine))
        assert all(np.array_equal(l, z[f'crf_label_{n}']) for l in labels)


@pytest.mark.parametrize('name', ['r3_9x11', 'r5_20x26', 'r10_24x32'])
def test_paths(name):
    "Every path with its cells in order, and where source and destination lie in the flat map."
    z = golden('irn_pathindex')
    radius, (h, w) = int(name[1 : name.index('_')]), map(int, name.split('_')[1].split('x'))
    published = [
        tuple(map(tuple, path)) for i in range(99) if f'{name}_paths{i}' in z for path in z[f'{name}_paths{i}'].tolist()
    ]
    assert list(search_paths(radius)) == published
    index = torch.arange(h * w).reshape(1, h, w).float()
    assert np.array_equal(index[0, : h - radius + 1, radius - 1 : w - radius + 1].flatten(), z[f'{name}_src'])
    assert np.array_equal(
        (
            index[0, : h - radius + 1, radius - 1 : w - radius + 1].flatten()
            + torch.tensor([[y * w + x] for y, x in z[f'{name}_search_dst']])
        ).long(),
        z[f'{name}_dst'],
    )


@pytest.mark.parametrize('radius', [5, 10])
def test_pairs(radius):
    z = tensors('irn_loss')
    affinity = path_affinity(z[f'edge_r{radius}'][:, 0].sigmoid(), radius).flatten(2)
    assert (affinity - z[f'aff_r{radius}']).abs().max() < 1e-6
    assert (-(affinity + 1e-5).log() - z[f'pos_r{radius}']).abs().max() < 1e-5 and (
        -(1 + 1e-5 - affinity).log() - z[f'neg_r{radius}']
    ).abs().max() < 1e-4
    assert (pair_displacement(z[f'dp_r{radius}'], radius).flatten(3) - z[f'pair_disp_r{radius}']).abs().max() < 1e-6


def test_transition():
    z = tensors('irn_randomwalk')
    S, D = transition(z['small_edge'])
    T = D.sqrt()[:, None] * S.to_dense() / D.sqrt()
    assert (T - z['small_T0']).abs().max() < 1e-6 and (
        T @ T @ T @ T - z['small_T2']
    ).abs().max() < 3e-6  # published in float32


@pytest.mark.parametrize('name', 'abcde')
def test_random_walk(name):
    "Against the published walk in its own float32, which is 6e-5 of the maximum off its float64."
    z = tensors('irn_randomwalk')
    radius, beta, power = z[f'params_{name}'].tolist()
    mine = random_walk(z[f'x_{name}'], z[f'edge_{name}'], radius, beta, 2**power)
    assert (mine - z[f'rw_{name}'][:, 0]).abs().max() < 1e-4 * mine.max()


@pytest.mark.parametrize('name', 'ab')
def test_network_inputs(name):
    "What the network sees at each scale, with its mirror image."
    z = golden('cam_merge')
    for i, scale in enumerate((1.0, 0.5, 1.5, 2.0)):
        x = to_tensor(resize(Image.fromarray(z[f'img_{name}']), scale))
        assert np.abs(torch.stack([x, x.flip(-1)]).numpy() - z[f'input_{name}_{i}']).max() < 1e-5


WEIGHTS = Path(__file__).parents[2] / 'shared' / 'weights'


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason='pretrained weights are not there')
@pytest.mark.parametrize('name, file', [('densenet169', 'densenet169'), ('mobilenet_v2', 'mobilenetv2')])
def test_weights_files(name, file):
    "Half-precision files without a classifier load as float32, and belong to one network only."
    from vwl.models.backbone import build_backbone
    from vwl.errors import InputError

    net = build_backbone(name, WEIGHTS / f'{file}-imagenet-backbone.safetensors')
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    with pytest.raises(InputError, match='belongs to another network'):
        build_backbone('resnet50', WEIGHTS / f'{file}-imagenet-backbone.safetensors')
