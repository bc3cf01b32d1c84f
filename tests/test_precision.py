"Half precision and compiled networks: the same training, up to rounding."

import shutil
from dataclasses import replace
from types import SimpleNamespace
import pytest
import torch
from torch import nn
from vwl.models.backbone import to_device
from vwl.data.images import read_folder
from vwl.engine.settings import preset
from vwl.models.deeplab import load_segmentation
from vwl.stages.classifier import classifier_trainer, load_classifier
from vwl.stages.irnet import load_irnet
from vwl.stages.run import open_network


def trained(data, **settings):
    trainer = classifier_trainer(
        preset(
            'toy', crop=48, long_side=(40, 56), batch_size=8, n_words=8, epochs=1, freeze_batchnorm=True, **settings
        ),
        read_folder(data),
    )
    trainer.train_epoch()
    return trainer


@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_half(finished, precision):
    "Losses to a hundredth; weights, codebook and momenta stay float32; float16's loss scale is kept with the state."
    exact, half = trained(finished[0]), trained(finished[0], precision=precision)
    for k, v in exact.history[0].items():
        assert abs(half.history[0][k] - v) < 0.01 * max(1e-3, abs(v))
    assert {v.dtype for v in half.net.state_dict().values() if v.is_floating_point()} == {torch.float32}
    assert half.optimizer.scaler.is_enabled() == (precision == 'float16')
    again = trained(finished[0], precision=precision)
    again.load_state(half.state())
    assert again.optimizer.scaler.state_dict() == half.optimizer.scaler.state_dict()


def test_overflow_passes_a_step(finished):
    "A gradient that overflows in float16 changes nothing but the scale."
    trainer = trained(finished[0], precision='float16')
    before = {k: v.clone() for k, v in trainer.net.state_dict().items()}
    optimizer = trainer.optimizer
    loss = sum(p.sum() for p in trainer.net.parameters() if p.requires_grad) * torch.tensor(3e38)
    optimizer.zero_grad()
    optimizer.scaler.scale(loss).backward()
    optimizer.scaler.step(optimizer)
    optimizer.scaler.update()
    assert (
        all(torch.equal(v, before[k]) for k, v in trainer.net.state_dict().items())
        and optimizer.scaler.get_scale() == 2**15
    )


@pytest.mark.skipif(not shutil.which('g++'), reason='torch.compile needs a C++ compiler')
def test_compiled():
    "The same numbers, and the same names of weights."
    net = nn.Module()
    net.backbone = nn.Module()
    net.backbone.wide = False
    net.backbone.stages = nn.ModuleList([nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())])
    x, names = torch.randn(2, 3, 9, 9), list(net.state_dict())
    before = net.backbone.stages[0](x)
    to_device(net, SimpleNamespace(arithmetic=SimpleNamespace(channels_last=True, compile=True)), 'cpu')
    assert torch.allclose(net.backbone.stages[0](x), before, atol=1e-6) and list(net.state_dict()) == names


def test_inference(finished):
    "Trained networks compute in the precision that is asked for them; the trainings' is another setting."
    run = open_network(finished[1])
    half = replace(run, recipe=run.recipe.changed(inference_precision='bfloat16'))
    assert half.recipe.arithmetic.precision == 'float32'
    weights, n = run.network('segmentation'), len(run.train.classes) + 1
    for load in load_classifier, lambda r: load_segmentation(weights, r.recipe, n):
        assert [load(r).backbone.precision for r in (run, half)] == [torch.float32, torch.bfloat16]
    assert load_irnet(half).backbone.precision == torch.float32  # its labels move with the digits


def test_folded(finished):
    "Maps and predictions with BatchNorm folded are those without, up to rounding; what else needs the network isn't."
    run = open_network(finished[1])
    folded = replace(run, recipe=run.recipe.changed(fold_batchnorm=True))
    weights, n, x = run.network('segmentation'), len(run.train.classes) + 1, torch.randn(1, 3, 60, 80)
    loaders = (
        lambda r: load_classifier(r, fold=True).maps(x),
        lambda r: load_segmentation(weights, r.recipe, n, fold=True)(x),
    )
    with torch.inference_mode():
        for load in loaders:
            a, b = load(run), load(folded)
            assert not torch.equal(a, b) and (a - b).abs().max() < 1e-4 * a.abs().max()
    assert any('running' in name for name in load_classifier(folded).state_dict())
    assert not any('running' in name for name in load_classifier(folded, fold=True).state_dict())
