"Networks of timm and detection's C4 ResNets on the whole road: tags to masks, on tiny data with random weights."

import numpy as np
import pytest
from PIL import Image
from vwl.data.scenes import write_scenes
from vwl.engine.processes import Machine
from vwl.engine.settings import preset
from vwl.stages.pipeline import TINY, run_pipeline

timm = pytest.importorskip('timm')
NAMES = [
    'timm/resnet50',
    'timm/resnext50_32x4d',
    'timm/convnext_tiny',
    'timm/efficientnet_b0',
    'timm/mobilenetv3_large_100',
    'timm/regnety_008',
    'timm/deit_small_patch16_224',
    'timm/vit_small_patch14_dinov2',
    'resnet50_c4',
]


@pytest.mark.parametrize('name', NAMES)
def test_whole_road(name, tmp_path):
    "Classifier, maps, IRNet with both branches, pseudo labels, DeepLabV2 from the classifier's weights, masks."
    data = write_scenes(tmp_path / 'scenes', 8)
    backbone = dict(backbone=name, irn_backbone=name, irn_weights='classifier', seg_backbone=name)
    sizes = dict(crop=64, long_side=(56, 72), irn_crop=160, seg_crop=64, seg_steps=1, irn_radius=5, walk_steps=4)
    more = dict(seg_weights='classifier', seg_output_stride=16, seg_scales=(1.0, 0.5), irn_displacement=True)
    learns = dict(weights="none", frozen_stages=3, freeze_batchnorm=True, lr_backbone=1e-4, seg_lr=1e-5)
    batches = dict(batch_size=4, irn_batch_size=4, seg_batch_size=4)
    recipe = preset('toy', **TINY | backbone | sizes | more | learns | batches)
    run = run_pipeline(data, tmp_path / 'run', recipe, Machine('cpu'))
    for image in run.val.names:
        for kind in 'network', 'crf':
            mask = np.asarray(Image.open(run.prediction_path(kind, image)))
            assert mask.shape == run.val.mask(run.val.names.index(image)).shape
            assert mask.max() <= len(run.val.classes)
