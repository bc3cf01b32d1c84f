"""Every tensor on its device: training steps, maps, walk, CRF and predictions on a GPU.

Without one, under PyTorch's fake tensors: they have a device, `cuda` too, and no values, and refuse to be mixed. What
fake tensors can't do is left out there: autograd's way back (its engine asks the GPU), sparse matrices (a dense one
stands in), and what looks at values, such as the lattice of the dense CRF. On a GPU (`pytest -m gpu`) all of it runs
and must give what the CPU gives.
"""

import contextlib
from functools import partial
import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
import vwl.affinity
from vwl.affinity import random_walk
from vwl.crf import CRF_SETTINGS, dense_crf
from vwl.engine.settings import preset
from vwl.engine.trainer import sgd
from vwl.models.backbone import to_device
from vwl.models.classifier import Classifier, scores_of_image
from vwl.models.deeplab import DeepLabV2, class_probabilities, segmentation_optimizer, segmentation_step
from vwl.models.irnet import IRNet, edge_map, irnet_step, pseudo_label
from vwl.models.training import make_optimizer, train_step
from vwl.par import par_seeds
from vwl.seeds import multi_scale_maps, normalise_maps

GPU = pytest.param('gpu', marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')])
RECIPE = preset('toy', n_words=8, weights='none', irn_weights='none', seg_weights='none', freeze_batchnorm=True)


@pytest.fixture(params=['fake', GPU])
def place(request, monkeypatch):
    "A context in which the device `cuda` can be computed on."
    if request.param == 'gpu':
        return contextlib.nullcontext()
    monkeypatch.setattr(torch.Tensor, 'backward', lambda loss: None)
    monkeypatch.setattr(torch.Tensor, 'numpy', lambda x: np.zeros(x.shape, np.float32))
    monkeypatch.setattr(vwl.affinity, '_csr', lambda values, columns: values.new_zeros(len(values), len(values)))
    return FakeTensorMode(allow_non_fake_inputs=True)


def is_fake(place):
    return isinstance(place, FakeTensorMode)


def picture(side=48):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def check(place, compute):
    "What `compute` gives on `cuda`; where there are values, those of the CPU."
    with place:
        found = compute('cuda')
    if not is_fake(place):
        for a, b in zip(found, compute('cpu'), strict=True):
            assert a.device.type == 'cuda'
            torch.testing.assert_close(a.cpu(), b, rtol=1e-3, atol=1e-4)
    for a in found:
        assert a.device.type == 'cuda'


def built(make, device):
    "A network on a device; its first weights, which are drawn on the CPU, are real."
    with unset_fake_temporarily():
        torch.manual_seed(0)
        net = make()
    return to_device(net, RECIPE, device)


def trained(device, make, optimizer_of, step, labels, **settings):
    "The losses of two steps."
    net = built(lambda: make(RECIPE.changed(**settings)), device).train()
    images, optimizer = torch.randn(4, 3, 96, 96).to(device), optimizer_of(net)
    return [loss for t in range(2) for loss in step(net, optimizer, images, labels.to(device), t, 2).values()]


@pytest.mark.parametrize('words', ['learned', 'memory', 'none'])
@pytest.mark.parametrize('start', ['random', 'sampled'])
def test_classifier_step(place, words, start):
    labels = torch.eye(4, 6)
    check(place, partial(trained, make=lambda r: Classifier(r, 6), optimizer_of=make_optimizer, step=train_step,
                         labels=labels, words=words, codebook_init=start))  # fmt: skip


@pytest.mark.parametrize('displacement', [False, True])
def test_irnet_step(place, displacement):
    labels = torch.randint(0, 3, (4, 96, 96), generator=torch.Generator().manual_seed(0)).byte()

    def optimizer(net):
        return sgd([([p for p in net.parameters() if p.requires_grad], 0.01)], 0.9, 0.0)

    check(place, partial(trained, make=IRNet, optimizer_of=optimizer, step=irnet_step, labels=labels,
                         irn_displacement=displacement))  # fmt: skip


@pytest.mark.parametrize('resize', ['size', 'factor'])
def test_segmentation_step(place, resize):
    labels = torch.randint(0, 3, (4, 96, 96), generator=torch.Generator().manual_seed(0)).byte()
    check(place, partial(trained, make=lambda r: DeepLabV2(r, 3), optimizer_of=segmentation_optimizer,
                         step=segmentation_step, labels=labels, seg_scales=(1.0, 0.5), seg_resize=resize))  # fmt: skip


def classifier(device):
    return built(lambda: Classifier(RECIPE, 6), device).eval()


def test_maps(place):
    def maps(device):
        found = multi_scale_maps(classifier(device).maps, [picture(), picture(24)], [0, 3], (12, 12), device=device)
        return [normalise_maps(found)]

    check(place, maps)


def test_scores(place):
    def scores(device):
        found = scores_of_image(classifier(device), picture(9))
        return [found.classes, found.words.scores, found.words.classes]

    check(place, scores)


def test_random_walk(place):
    random = torch.Generator().manual_seed(0)
    maps, edge = torch.rand(2, 12, 14, generator=random), torch.rand(1, 12, 14, generator=random)
    check(place, lambda device: [random_walk(maps.to(device), edge.to(device))])


def test_edges(place):
    def edges(device):
        net = built(lambda: IRNet(RECIPE.changed(irn_displacement=True)), device).eval()
        return edge_map(net, picture(), device)

    check(place, edges)


def masks(place, compute):
    "A mask comes to the CPU; where there are values, nearly all are those of the CPU."
    with place:
        found = compute('cuda')
    assert isinstance(found, np.ndarray)
    if not is_fake(place):
        assert (found == compute('cpu')).mean() > 0.999


def test_pseudo_label(place):
    walked = torch.rand(2, 12, 12, generator=torch.Generator().manual_seed(0))
    masks(place, lambda device: pseudo_label(walked.to(device), [1, 2], (48, 48)))


def test_par(place):
    cams = np.random.default_rng(1).random((2, 48, 48)).astype(np.float32)
    masks(place, lambda device: par_seeds(picture(), cams, [1, 2], device=device))


@pytest.mark.parametrize('flip', [False, True])
def test_prediction(place, flip):
    def probabilities(device):
        net = built(lambda: DeepLabV2(RECIPE, 3), device).eval()
        return class_probabilities(net, picture(), flip, device).argmax(0)

    masks(place, probabilities)


@pytest.mark.parametrize('place', [GPU], indirect=True)
@pytest.mark.parametrize('settings', CRF_SETTINGS)
def test_dense_crf(place, settings):
    image = np.kron(picture(12), np.ones((8, 8, 1), np.uint8))
    scores = np.random.default_rng(1).random((3, 96, 96)).astype(np.float32) + 1
    masks(place, lambda device: dense_crf(image, scores / scores.sum(0), CRF_SETTINGS[settings], device).argmax(0))


def test_mixed_devices_are_found():
    "The fakes refuse what a GPU would."
    with FakeTensorMode(), pytest.raises(RuntimeError, match='two'):
        torch.ones(2, device='cuda') + torch.ones(2)
    with FakeTensorMode(), pytest.raises(RuntimeError, match='_local_scalar_dense'):
        torch.ones(1, device='cuda').item()
