"""Each slow place beside its published form, in one run: processor seconds of one thread, medians, and their ratio.

    python benchmarks/side_by_side.py FOLDER [--rows maps crf] [--repeats 5] [--out \
        nbs/7_results/stored/side_by_side.json]

FOLDER has photographs. The published forms are written anew here as plain code: what they compute is the same, and
each row says by how much the results are apart. The two forms take turns. Networks are ResNet-50 with random weights,
which take as long as any others. Run it on an idle machine; the row `crf` needs pydensecrf.
"""

import argparse
import random
import statistics
import time
from copy import deepcopy
from pathlib import Path
import numpy as np
import torch
import torch.nn.functional as F
from dense_crf import soft_labels
from PIL import Image
from random_walk import dense, inputs
from vwl.affinity import pair_labels, path_offsets, random_walk, search_paths
from vwl.crf import dense_crf, named_crf
from vwl.data.crops import training_crop
from vwl.data.image_files import read_image
from vwl.engine.files import read_json, write_json
from vwl.engine.settings import preset
from vwl.engine.trainer import sgd
from vwl.metrics import class_iou, mean_iou, sweep_thresholds, threshold_histogram
from vwl.models.backbone import fold_batchnorm, to_device
from vwl.models.classifier import Classifier
from vwl.models.deeplab import DeepLabV2, class_probabilities, segmentation_optimizer, segmentation_step
from vwl.models.irnet import IRNet, irnet_step
from vwl.models.training import make_optimizer, train_step
from vwl.pixels import MEAN, STD
from vwl.seeds import multi_scale_maps, normalise_maps

SIZE = (375, 500)  # of the photographs of a row that needs one size
RECIPE = preset(
    'code', backbone='resnet50', weights='none', irn_backbone='resnet50', irn_weights='none', seg_backbone='resnet50',
    seg_weights='none', seg_style='torchvision', seg_accumulate=1, irn_displacement=False,
)  # fmt: skip


def published_form(net):
    "A copy of a network in the order of memory that the published code leaves it in."
    copy = deepcopy(net).to(memory_format=torch.contiguous_format)
    copy.backbone.channels_last = False
    return copy


def largest_difference(a, b):
    "Of two results: arrays, numbers or lists of them."
    if isinstance(a, list):
        return max(largest_difference(x, y) for x, y in zip(a, b, strict=True))
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max())


def published_crop(image, rng, crop=512):
    "Resize, normalise in float, flip, and paste into a container."
    scale = rng.randint(320, 640) / max(image.size)
    image = image.resize([int(np.round(side * scale)) for side in image.size], Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    values = np.empty_like(pixels, np.float32)
    for c in range(3):
        values[..., c] = (pixels[..., c] / 255.0 - MEAN[c]) / STD[c]
    if rng.getrandbits(1):
        values = np.fliplr(values)
    container, there, here = np.zeros((crop, crop, 3), np.float32), [], []
    for side in image.size:  # columns, rows
        spare = rng.randrange(abs(side - crop) + 1)
        here.insert(0, slice(0, crop) if side > crop else slice(spare, spare + side))
        there.insert(0, slice(spare, spare + crop) if side > crop else slice(0, side))
    container[tuple(here)] = values[tuple(there)]
    return torch.from_numpy(np.ascontiguousarray(container.transpose(2, 0, 1)))


def training_image(files, how='pillow'):
    "A photograph to a training crop of 512 pixels; without the reading, which is the same."
    images, seeds = of_size(files), iter(range(10**6))

    def form(make):
        def run(seed):
            return [make(image, random.Random(f'{seed} {i}')) for i, image in enumerate(images)]

        return run

    return form(published_crop), form(lambda image, rng: training_crop(image, rng, how=how)), seeds, len(images)


def classifier_step(files):
    "A step of VWL-L, 256 words, batch of 2 crops of 512 pixels; slow rates, since weights are random."
    r = RECIPE.changed(lr_backbone=1e-6, lr_heads=1e-6)
    images, labels = torch.randn(2, 3, 512, 512), (torch.rand(2, 20) < 0.1).float()
    ours = to_device(Classifier(r, 20), r, 'cpu').train()
    net = published_form(ours)
    optimizer = make_optimizer(net)

    def published(step):
        features = net.backbone(images)
        B, d, h, w = features.shape
        similarity = (
            F.normalize(features, dim=1).flatten(2).transpose(1, 2).detach() @ F.normalize(net.words.codebook, dim=1).T
        )
        P = (r.words.tau * similarity).softmax(2)
        word_label = torch.zeros(B, r.words.n_words)
        for b, words in enumerate(P.argmax(2)):
            for word in words.unique().tolist():
                word_label[b, word] = 1
        pooled = 2 * features.mean((2, 3))
        for n in 1, 2, 4:
            pooled = pooled + F.max_pool2d(features, (h // n, w // n)).mean((2, 3))
        pooled = pooled / 5
        centred = net.words.codebook - net.words.codebook.mean(1, keepdim=True)
        covariance = centred @ centred.T
        loss = F.multilabel_soft_margin_loss(net.class_head(pooled), labels)
        loss = loss + F.multilabel_soft_margin_loss(net.words.word_head(features.mean((2, 3))), word_label)
        loss = loss + F.multilabel_soft_margin_loss(net.words.frequency_head(P.sum(1)), labels)
        loss = loss + 0.5 * (covariance.norm() - covariance.diag().norm())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    theirs = make_optimizer(ours)
    return published, lambda step: sum(train_step(ours, theirs, images, labels, 0, 10**6).values()), iter([0] * 100), 2


def maps(files, fold=False):
    "The maps of a photograph at four scales, each with its mirror image, at a stride of 4."
    net = Classifier(RECIPE, 20).eval()
    theirs, keys, strided = published_form(net), [1, 5], tuple((s - 1) // 4 + 1 for s in SIZE)
    if fold:
        fold_batchnorm(net)
    net = to_device(net, RECIPE, 'cpu')
    scaled = [
        [np.asarray(i.resize([round(s * f) for f in SIZE[::-1]])) for s in (1, 0.5, 1.5, 2)] for i in of_size(files)
    ]

    @torch.no_grad()
    def published(i):
        small, full = 0, 0
        for image in scaled[i]:
            values = ((image / 255.0 - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)
            pair = torch.from_numpy(np.stack([values, values[..., ::-1]]))
            cam = F.relu(F.conv2d(theirs.backbone(pair), theirs.class_head.weight[..., None, None]))
            cam = torch.maximum(cam[0], cam[1].flip(-1))[None]
            small = small + F.interpolate(cam, strided, mode='bilinear', align_corners=False)[0]
            full = full + F.interpolate(cam, SIZE, mode='bilinear', align_corners=False)[0]
        small, full = small[keys], full[keys]
        full = full / (F.adaptive_max_pool2d(full, (1, 1)) + 1e-5)
        return small / (F.adaptive_max_pool2d(small, (1, 1)) + 1e-5)

    return published, lambda i: normalise_maps(multi_scale_maps(net.maps, scaled[i], keys, strided)), turns(files), 1


def crf(files):
    "Dense CRF of a photograph, background and two classes, the setting of Table 1."
    images = [np.asarray(i) for i in of_size(files)]

    def form(engine):
        return lambda i: dense_crf(images[i], soft_labels(3, i), named_crf('vwl', engine)).argmax(0)

    return form('pydensecrf'), form('torch'), turns(files), 1


def irnet_step_(files):
    "A step of IRNet, 2 crops of 512 pixels; the published form computes displacements too."
    r = RECIPE
    theirs = IRNet(r.changed(irn_displacement=True)).train()
    ours = to_device(IRNet(r), r, 'cpu').train()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith('displacement')})
    theirs.load_state_dict(theirs.state_dict())
    images, labels = torch.randn(2, 3, 512, 512), torch.randint(0, 4, (2, 16, 16)).repeat_interleave(32, 1)
    labels = labels.repeat_interleave(32, 2).byte()
    optimizers = [sgd([([p for p in n.parameters() if p.requires_grad], 0.0)], 1e-4, 1e-4) for n in (theirs, ours)]
    radius, side = r.irnet.radius, 128
    reach = radius - 1
    rows, columns = np.mgrid[: side - reach, reach : side - reach]
    by_length = {}
    for path in search_paths(radius):
        by_length.setdefault(len(path), []).append([((rows + y) * side + columns + x).ravel() for y, x in path])
    index = [torch.from_numpy(np.array(paths)) for paths in by_length.values()]  # (pairs, cells, pixels)

    def published(i):
        logits, way = theirs(images)
        edge = logits.sigmoid().flatten(1)
        largest = [edge[:, cells.flatten()].view(len(edge), *cells.shape).amax(2) for cells in index]
        affinity = 1 - torch.cat(largest, 1)
        small = F.interpolate(labels[:, None].float(), (side, side), mode='nearest-exact')[:, 0].byte()
        background, same, different = (x.flatten(2).float() for x in pair_labels(small, radius))
        here = way.flatten(2)[:, :, index[0][0, -1]]
        there = torch.cat(
            [way.flatten(2)[:, :, cells[:, 0].flatten()].view(len(way), 2, len(cells), -1) for cells in index], 2
        )
        difference, target = here[:, :, None] - there, torch.tensor(path_offsets(radius)).T[None, :, :, None]

        def mean(x, chosen, count):
            return (x * chosen).sum() / (count + 1e-5)

        together = -(affinity + 1e-5).log()
        positive = (mean(together, background, background.sum()) + mean(together, same, same.sum())) / 2
        negative = mean(-(1 + 1e-5 - affinity).log(), different, different.sum())
        objects = mean((difference - target).abs(), same[:, None], 2 * same.sum())
        still = mean(difference.abs(), background[:, None], 2 * background.sum())
        optimizers[0].zero_grad()
        ((positive + negative) / 2 + (objects + still) / 2).backward()
        optimizers[0].step()
        return torch.stack([positive / 2, negative / 2]).detach()

    def form(i):
        terms = irnet_step(ours, optimizers[1], images, labels)
        return torch.stack([terms['together'], terms['apart']])

    return published, form, iter([0] * 100), 2


def walk(files):
    "256 steps of the random walk on a map of 47 x 63, the size of a photograph of 188 x 252."
    small = inputs(47, 63)
    return lambda i: dense(*small), lambda i: random_walk(*small), iter([0] * 100), 1


def sweep(files):
    "mIoU of 8 images at 21 thresholds."
    rng, thresholds = np.random.default_rng(0), np.linspace(0, 1, 21)
    found = []
    for i in range(8):
        cams = soft_labels(3, i)[:2].astype(np.float32)
        found.append(
            (cams, np.sort(rng.choice(np.arange(1, 21), 2, replace=False)), rng.integers(0, 21, SIZE).astype(np.uint8))
        )

    def published(_):
        out = []
        for t in thresholds:
            total = np.zeros((21, 21))
            for cams, keys, truth in found:
                scores = np.pad(cams, ((1, 0), (0, 0), (0, 0)), constant_values=t)
                label = np.pad(keys, (1, 0))[scores.argmax(0)]
                valid = (truth >= 0) & (truth < 21)
                total += np.bincount(21 * truth[valid].astype(int) + label[valid], minlength=441).reshape(21, 21)
            out.append(class_iou(total)[total.sum(1) > 0].mean())
        return out

    def ours(_):
        total = sum(threshold_histogram(cams, keys, truth, 21, thresholds) for cams, keys, truth in found)
        return [mean_iou(n) for n in sweep_thresholds(total)]

    return published, ours, iter([0] * 100), 8


def published_logits(net, images):
    "Logits at three scales, and their maximum."
    logits = [net.aspp(net.backbone(images))]
    for scale in 0.5, 0.75:
        small = F.interpolate(images, scale_factor=scale, mode='bilinear', align_corners=False)
        logits.append(net.aspp(net.backbone(small)))
    size = logits[0].shape[2:]
    alike = [F.interpolate(l, size, mode='bilinear', align_corners=False) for l in logits[1:]]
    return [*logits, torch.stack([logits[0], *alike]).amax(0)]


def deeplab_step(files):
    "A step of DeepLabV2, 2 crops of 321 pixels at three scales."
    ours = to_device(DeepLabV2(RECIPE, 21), RECIPE, 'cpu').train()
    net = published_form(ours)
    images, labels = torch.randn(2, 3, 321, 321), torch.randint(0, 21, (2, 321, 321)).byte()
    optimizers = [segmentation_optimizer(n) for n in (net, ours)]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group['first_lr'] = group['lr'] = 0.0

    def published(i):
        logits = published_logits(net, images)
        loss = 0
        for l in logits:
            small = [Image.fromarray(y.numpy()).resize(l.shape[:1:-1], Image.Resampling.NEAREST) for y in labels]
            loss = loss + F.cross_entropy(l, torch.from_numpy(np.stack(small)).long(), ignore_index=255)
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        return loss.detach()

    return published, lambda i: segmentation_step(ours, optimizers[1], images, labels)['loss'], iter([0] * 100), 2


def deeplab_prediction(files):
    "The class probabilities of a photograph, three scales."
    ours = to_device(DeepLabV2(RECIPE, 21), RECIPE, 'cpu').eval()
    net, images = published_form(ours), of_size(files)

    @torch.no_grad()
    def published(i):
        x = torch.from_numpy((((np.asarray(images[i]) / 255.0 - MEAN) / STD).astype(np.float32)).transpose(2, 0, 1))[
            None
        ]
        *_, largest = published_logits(net, x)
        return F.interpolate(largest, x.shape[2:], mode='bilinear', align_corners=False).softmax(1)[0].numpy()

    return published, lambda i: class_probabilities(ours, images[i]), turns(files), 1


def of_size(files):
    return [read_image(f).resize(SIZE[::-1], Image.Resampling.BICUBIC) for f in files]


def turns(files):
    "Photograph after photograph, over and over."
    return (i % len(files) for i in range(10**6))


ROWS = {
    'training image': training_image,
    "training image, crop_resize 'torch'": lambda files: training_image(files, 'torch'),
    'classifier step': classifier_step,
    'maps': maps,
    'maps, fold_batchnorm': lambda files: maps(files, fold=True),
    'crf': crf,
    'irnet step': irnet_step_,
    'random walk': walk,
    'mIoU sweep': sweep,
    'deeplab step': deeplab_step,
    'deeplab prediction': deeplab_prediction,
}


def measure(row, files, repeats):
    "Medians of both forms, each item's ratio, and how far the results are apart."
    torch.manual_seed(0)
    published, ours, arguments, items = row(files)
    taken, apart = dict(published=[], ours=[]), 0.0
    for turn, argument in zip(range(repeats + 1), arguments):
        results = {}
        for name, form in dict(published=published, ours=ours).items():
            began = time.process_time()
            results[name] = form(argument)
            if turn:
                taken[name].append((time.process_time() - began) / items)
        apart = max(apart, largest_difference(*results.values()))
    middle = {name: statistics.median(seconds) for name, seconds in taken.items()}
    ratio = statistics.median(a / b for a, b in zip(taken['published'], taken['ours']))
    return dict(**middle, ratio=ratio, apart=apart)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--rows', nargs='+', default=list(ROWS), choices=ROWS)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    every = sorted(args.folder.iterdir())
    files = every[:: max(1, len(every) // 4)][:4]
    rows = {}
    print(f'{"":40} published    ours   ratio  apart')
    for name in args.rows:
        rows[name] = r = measure(ROWS[name], files, args.repeats)
        print(f'{name:40} {r["published"]:9.4f} {r["ours"]:7.4f} {r["ratio"]:7.2f}  {r["apart"]:.1e}', flush=True)
        r['repeats'] = args.repeats
    if args.out:
        before = read_json(args.out)['rows'] if args.out.exists() else {}  # rows that were not measured now stay
        command = 'python benchmarks/side_by_side.py FOLDER'
        write_json(args.out, dict(command=command, torch=torch.__version__, rows=before | rows))


if __name__ == '__main__':
    main()
