"""Twenty steps of each training, alone or under torchrun: steps.py SCENES OUT writes each step's losses and the
network at the end.

Not a test by itself; test_distributed.py compares what it writes.
"""

import sys
from pathlib import Path
import torch
from vwl.data.images import read_folder
from vwl.stages.segmentation import segmentation_trainer
from vwl.engine.processes import join_world, world
from vwl.engine.files import write_json
from vwl.stages.irnet import irnet_trainer
from vwl.engine.settings import preset
from vwl.stages.classifier import classifier_trainer
from safetensors.torch import save_file

# rates so low that a difference of rounding stays one: at the recipe's own it grows tenfold every few steps
# and a memory bank on fixed features: where those move, a pixel between two words falls to one or the other
CLASSIFIER = dict(crop=48, long_side=(40, 56), batch_size=6, n_words=8, epochs=5, lr_backbone=2e-4, lr_heads=2e-4)
IRNET = dict(
    irn_weights='none',
    irn_epochs=5,
    irn_batch_size=6,
    irn_crop=48,
    irn_displacement=True,
    irn_lr=0.005,
    irn_lr_displacement=0.005,
)
DEEPLAB = dict(seg_weights='none', seg_steps=20, seg_batch_size=6, seg_crop=48, seg_scales=(1.0, 0.5), seg_lr=1e-4)
# 'learned' stops the frequency loss at the features, as published; 'frozen' lets it through, as the paper
KINDS = dict(
    learned=CLASSIFIER | dict(detach_words=True),
    memory=CLASSIFIER | dict(words='memory', codebook_init='sampled', rho=0.1, freeze_batchnorm=True, lr_backbone=0.0),
    frozen=CLASSIFIER | dict(freeze_batchnorm=True),
    half=CLASSIFIER | dict(precision='bfloat16', freeze_batchnorm=True),
    irnet=IRNET,
    deeplab=DEEPLAB,
    accumulate=DEEPLAB | dict(seg_accumulate=3),
)


def trainer(kind, images):
    recipe = preset('toy', **KINDS[kind])
    if kind == 'irnet':
        return irnet_trainer(recipe, images, images.mask)
    if kind in ('deeplab', 'accumulate'):
        return segmentation_trainer(recipe, images, images.mask)
    return classifier_trainer(recipe, images)


def train(kind, scenes, out):
    t, losses = trainer(kind, read_folder(scenes)), []
    while not t.finished and len(losses) < 20:
        t.train_epoch(save=lambda: losses.append(dict(t.sums)))
        losses.append(t.history[-1])
    if world().first:
        write_json(out / f'{kind}.json', losses)
        save_file({k: v.contiguous() for k, v in t.net.state_dict().items()}, out / f'{kind}.safetensors')


def main(scenes, out):
    join_world('cpu')
    torch.set_num_threads(1)
    for kind in KINDS:
        train(kind, scenes, Path(out))
    if world().accelerator:
        world().accelerator.end_training()


if __name__ == '__main__':
    main(*sys.argv[1:])
