"What holds for every input, tried on many: what is stored comes back, sizes and bounds are kept, shares make a whole."

import csv
import io
import random
from pathlib import PurePosixPath
from unittest.mock import patch
import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings, strategies as st
from PIL import Image
from vwl.affinity import random_walk, transition
from vwl.pixels import MEAN, STD, resized, working_image, working_size
from vwl.data.crops import labelled_crop, training_crop
from vwl.data.tags import read_tags
from vwl.engine.processes import World, part_sizes
from vwl.errors import InputError
from vwl.engine.arrays import load_arrays, load_label, save_arrays, save_label, voc_palette
from vwl.metrics import confusion_matrix, sweep_thresholds, threshold_histogram
from vwl.pooling import gap, gmp, gwrp, hybrid_pool, lse
from vwl.data.cams import load_cams, save_cams, strided_size
from vwl.seeds import threshold_seeds
from vwl.words import assign_words, word_frequencies, word_labels, word_probabilities


def tried(n, /, **given_):
    return lambda f: settings(max_examples=n, deadline=None, derandomize=True, database=None)(given(**given_)(f))


SIDE, SEED, CLASS = st.integers(1, 200), st.integers(0, 2**32 - 1), st.integers(1, 20)
ANY = st.characters(exclude_categories=['Cs'])  # a lone surrogate can't be stored as UTF-8
NAME = st.text(ANY, max_size=8) | st.text('./\\a ', max_size=6)
TAG = st.text(ANY, min_size=1, max_size=6).filter(
    lambda t: not any(c in ',;|#/+&[{(' or c.isspace() or c in '\x1c\x1d\x1e\x1f' for c in t)
)  # without the signs that may separate tags or begin a list, which tests/test_own_photographs.py tries


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    return tmp_path_factory.mktemp('properties')


def table(rows, delimiter):
    csv.writer(out := io.StringIO(), delimiter=delimiter, lineterminator='\r\n', quoting=csv.QUOTE_ALL).writerows(
        [('image', 'tags'), *((name, ' '.join(tags)) for name, tags in rows)]
    )
    return out.getvalue()


def is_legal(name):
    path = name.replace('\\', '/')
    return name and not path.startswith('/') and '..' not in path.split('/')


@tried(
    150,
    rows=st.lists(st.tuples(NAME, st.lists(TAG, max_size=3)), min_size=1, max_size=3),
    delimiter=st.sampled_from(',;\t'),
    encoding=st.sampled_from(['utf-8', 'utf-8-sig', 'utf-16']),
)
@example(rows=[('a', ['x']), ('./a', [])], delimiter=',', encoding='utf-8')
def test_tags_come_back(home, rows, delimiter, encoding):
    pairs = [set(zip(unique, unique[1:])) for unique in (tuple(dict.fromkeys(tags)) for _, tags in rows)]
    assume(len(rows) < 3 or not set.intersection(*pairs))  # else they may be one class of two words: refused
    (path := home / 'tags.csv').write_bytes(table(rows, delimiter).encode(encoding))
    kept = [(name.strip(), tags) for name, tags in rows if name.strip() or tags]
    wanted = {PurePosixPath(name.replace('\\', '/')).as_posix(): tuple(dict.fromkeys(tags)) for name, tags in kept}
    if all(is_legal(name) for name, _ in kept) and len(wanted) == len(kept):
        assert read_tags(path) == wanted
    else:
        with pytest.raises(InputError):
            read_tags(path)


@tried(50, height=SIDE, width=SIDE, seed=SEED)
def test_masks_come_back(home, height, width, seed):
    label = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    save_label(path := home / 'mask.png', label)
    assert np.array_equal(load_label(path), label)
    with Image.open(path) as image:
        assert (
            image.mode == 'P'
            and image.getpalette() == voc_palette().flatten().tolist()
            and image.getpalette()[3:9] == [128, 0, 0, 0, 128, 0]
        )


@tried(
    60, height=SIDE, width=SIDE, keys=st.lists(CLASS, max_size=4, unique=True), bits=st.sampled_from([8, 16]), seed=SEED
)
def test_cams_come_back(home, height, width, keys, bits, seed):
    size, maps = strided_size(height, width), np.random.default_rng(seed)
    maps = maps.random((len(keys), *size), np.float32)
    save_cams(path := home / 'cams.npz', torch.from_numpy(maps), keys, (height, width), bits)
    found, ids = load_cams(path, (height, width), at=size)
    assert (
        ids.tolist() == keys
        and found.shape == maps.shape
        and (abs(found.astype(float) - maps) <= 0.5 / (2**bits - 1) + 1e-7).all()
    )
    full, _ = load_cams(path, (height, width))
    assert full.shape == (len(keys), height, width) and (
        not keys or found.min() <= full.min() + 1e-6 and full.max() <= found.max() + 1e-6
    )
    with pytest.raises(InputError):
        load_cams(path, (height, width + 1))


@tried(
    40,
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=3), max_size=3),
    kind=st.sampled_from(['u1', '>i4', 'f2', 'f8', '?', 'c16', 'U3']),
    seed=SEED,
    times=st.lists(st.integers(4 * 10**8, 4 * 10**9), min_size=2, max_size=2),
)
def test_arrays_are_stored_alike(home, shapes, kind, seed, times):
    rng = np.random.default_rng(seed)
    arrays = {f'a{i}': (rng.random(shape) * 9).astype(kind) for i, shape in enumerate(shapes)}

    def stored(name, time):
        with patch('time.time', lambda: time):
            return save_arrays(home / name, **arrays).read_bytes()

    assert stored('one.npz', times[0]) == stored('two.npz', times[1])
    found = load_arrays(home / 'two.npz')
    assert found.keys() == arrays.keys() and all(
        found[k].dtype == a.dtype and np.array_equal(found[k], a) for k, a in arrays.items()
    )


@tried(
    200,
    height=st.integers(1, 20000),
    width=st.integers(1, 20000),
    long_side=st.integers(1, 3000),
    scale=st.floats(0.001, 10),
)
def test_sizes(height, width, long_side, scale):
    for side, new in zip((height, width), resized((height, width), scale)):
        assert type(new) is int and new >= 1 and (abs(new - side * scale) <= 0.5 or side * scale < 1 == new)
    worked = working_size(height, width, long_side)
    assert (
        min(worked) >= 1
        and max(worked) == min(long_side, max(height, width))
        and all(w <= s for w, s in zip(worked, (height, width)))
    )
    if max(height, width) <= long_side:
        assert worked == (height, width)
    for side, new in zip((height, width), strided_size(height, width)):
        assert 4 * (new - 1) < side <= 4 * new


@tried(50, height=SIDE, width=SIDE, long_side=SIDE)
def test_working_image_has_working_size(height, width, long_side):
    assert (
        working_image(Image.new('RGB', (width, height)), long_side).size == working_size(height, width, long_side)[::-1]
    )


def picture(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


LEAST, MOST = (torch.from_numpy((v - MEAN) / STD).float()[:, None, None] for v in (0, 1))


@tried(
    60,
    height=SIDE,
    width=SIDE,
    long_side=st.tuples(st.integers(1, 120), st.integers(1, 120)).map(sorted),
    crop=st.integers(1, 64),
    seed=SEED,
)
def test_training_crop(height, width, long_side, crop, seed):
    image = Image.fromarray(picture(height, width, seed))
    x = training_crop(image, random.Random(seed), tuple(long_side), crop)
    assert (
        x.shape == (3, crop, crop)
        and x.dtype == torch.float32
        and (x >= LEAST - 1e-5).all()
        and (x <= MOST + 1e-5).all()
    )
    assert torch.equal(x, training_crop(image, random.Random(seed), tuple(long_side), crop))


@tried(
    60,
    height=SIDE,
    width=SIDE,
    scale=st.floats(0.1, 2),
    crop=st.integers(1, 64),
    corner=st.booleans(),
    seed=SEED,
    larger=st.integers(1, 2),
)
def test_labelled_crop(height, width, scale, crop, corner, seed, larger):
    "Pixels and labels lie at the same place: the red of each pixel is ten times its id."
    ids = np.random.default_rng(seed).integers(0, 21, (height, width), np.uint8)
    image = Image.fromarray(np.repeat(10 * ids[..., None], 3, 2))
    x, label = labelled_crop(image, ids.repeat(larger, 0).repeat(larger, 1), random.Random(seed), scale, crop, corner)
    w, h = (min(crop, side) for side in resized(image.size, scale))
    rows, columns = torch.nonzero(inside := label != 255, as_tuple=True)
    assert (
        x.shape == (3, crop, crop) and label.shape == (crop, crop) and set(label.unique().tolist()) <= {*ids.flat, 255}
    )
    assert (
        len(rows) == w * h
        and rows.max() - rows.min() == h - 1
        and columns.max() - columns.min() == w - 1
        and not x[:, ~inside].any()
    )
    if corner:
        assert inside[0, 0]
    if resized(image.size, scale) == image.size:
        assert torch.equal((x[0] * STD[0] + MEAN[0]).mul(25.5)[inside].round().byte(), label[inside])


@tried(
    80,
    size=st.tuples(*[st.integers(1, 12)] * 2),
    splits=st.lists(st.integers(1, 6), max_size=3),
    gamma=st.floats(0.1, 8),
    remainder=st.sampled_from(['drop', 'cover']),
    decay=st.floats(0, 1),
    sharpness=st.floats(0.1, 50),
    spread=st.floats(0.1, 20),
    seed=SEED,
)
def test_pooling_lies_between(size, splits, gamma, remainder, decay, sharpness, spread, seed):
    x = spread * torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(seed))
    least, mean, most, off = x.amin((2, 3)), gap(x), gmp(x), 1e-5 * spread + 2e-5 / sharpness
    if remainder == 'drop':
        splits = [s for s in splits if s <= min(size)]
    pooled = hybrid_pool(x, gamma, tuple(splits), remainder)
    assert pooled.shape == (2, 3) and (pooled >= least - off).all() and (pooled <= most + off).all()
    if all(side % s == 0 for s in splits for side in size):
        assert (pooled >= mean - off).all()  # else an average can beat what maxima leave out
    for pooled in gwrp(x, decay), lse(x, sharpness):
        assert pooled.shape == (2, 3) and (pooled >= mean - off).all() and (pooled <= most + off).all()


@tried(
    60,
    k=st.integers(1, 8),
    d=st.integers(1, 5),
    size=st.tuples(*[st.integers(1, 6)] * 2),
    tau=st.floats(0.01, 100),
    zero=st.booleans(),
    seed=SEED,
)
def test_words(k, d, size, tau, zero, seed):
    g = torch.Generator().manual_seed(seed)
    features, codebook = torch.randn(2, d, *size, generator=g) * (not zero), torch.randn(k, d, generator=g)
    p = word_probabilities(features, codebook, tau)
    assert p.shape == (2, k, *size) and (p >= 0).all() and torch.allclose(p.sum(1), torch.ones(2, *size), atol=1e-5)
    assert torch.allclose(word_frequencies(p).sum(1), torch.ones(2), atol=1e-5)
    words = assign_words(p)
    assert all(set(w.unique().tolist()) == set(l.nonzero().flatten().tolist()) for w, l in zip(words, word_labels(p)))
    if not zero:
        assert torch.equal(
            assign_words(word_probabilities(3 * features, 5 * codebook, 1.0)),
            assign_words(word_probabilities(features, codebook, 1.0)),
        )


@tried(80, n=st.integers(1, 30), pixels=st.integers(0, 300), seed=SEED)
def test_confusion_matrix(n, pixels, seed):
    rng = np.random.default_rng(seed)
    truth, prediction = np.append(np.arange(n), 255)[rng.integers(0, n + 1, pixels)], rng.integers(0, n, pixels)
    N, valid = confusion_matrix(prediction, truth, n), truth != 255
    assert N.shape == (n, n) and N.sum() == valid.sum() and N.trace() == (prediction == truth).sum()
    assert N.sum(1).tolist() == [(truth == c).sum() for c in range(n)] and N.sum(0).tolist() == [
        (prediction[valid] == c).sum() for c in range(n)
    ]


@tried(
    60,
    size=st.tuples(*[st.integers(1, 12)] * 2),
    keys=st.lists(st.integers(1, 5), max_size=3, unique=True),
    thresholds=st.lists(st.integers(0, 16).map(lambda i: i / 16) | st.floats(0, 1), min_size=1, max_size=6),
    seed=SEED,
)
def test_sweep_is_each_threshold(size, keys, thresholds, seed):
    "Maps and thresholds in sixteenths, so that many are equal."
    rng, thresholds = np.random.default_rng(seed), sorted(thresholds)
    cams, truth = (
        (rng.integers(0, 17, (len(keys), *size)) / 16).astype(np.float32),
        np.append(np.arange(6), 255)[rng.integers(0, 7, size)],
    )
    swept = sweep_thresholds(threshold_histogram(cams, keys, truth, 6, np.array(thresholds)))
    for t, N in zip(thresholds, swept, strict=True):
        assert np.array_equal(N, confusion_matrix(threshold_seeds(cams, keys, t), truth, 6))


@tried(
    50,
    size=st.tuples(*[st.integers(1, 16)] * 2),
    n=st.integers(0, 3),
    radius=st.integers(2, 6),
    beta=st.floats(0.1, 20),
    steps=st.integers(0, 300),
    walls=st.floats(0, 1),
    seed=SEED,
)
def test_random_walk_averages(size, n, radius, beta, steps, walls, seed):
    "Each pixel becomes an average of pixels kept off the edges, so nothing leaves their range."
    g = torch.Generator().manual_seed(seed)
    maps, edge = torch.rand(n, *size, generator=g) * 100, torch.rand(1, *size, generator=g)
    edge[edge < walls] = float(seed % 2)  # closed walls, or open ground
    walked, before = random_walk(maps, edge, radius, beta, steps), maps * (1 - edge)
    assert walked.shape == maps.shape and walked.isfinite().all()
    for a, b in zip(walked, before):
        assert a.min() >= b.min() - 1e-4 and a.max() <= b.max() + 1e-4
    if n > 1:  # as likely from here to there as back, where each pixel counts as its affinities do
        D = transition(edge, radius, beta)[1].reshape(size)
        assert torch.isclose(
            (D * walked[0] * before[1]).sum(), (D * before[0] * walked[1]).sum(), rtol=1e-4, atol=1e-4 * D.max().item()
        )
    if steps == 0 and n:
        assert torch.allclose(walked, before, atol=1e-4)


@tried(150, n=st.integers(0, 60), processes=st.integers(1, 9), parts=st.integers(1, 9))
def test_shares_make_a_whole(n, processes, parts):
    items, ranks = list(range(n)), [World(r, processes) for r in range(processes)]
    assert sorted(i for w in ranks for i in w.shard(items)) == items and [w.shard_size(n) for w in ranks] == [
        len(w.shard(items)) for w in ranks
    ]
    if not n:
        return  # a batch has an image at least
    sizes = part_sizes(n, parts)
    assert sum(sizes) == n and len(sizes) <= parts and sizes == [len(p) for p in torch.arange(n).chunk(parts)]
    shares = [w.shard(items, parts) for w in ranks]
    assert sorted(i for s in shares for i in s) == items and all(s == sorted(s) for s in shares)
    for start, size in zip(np.cumsum([0, *sizes]), sizes):
        each = [sum(start <= i < start + size for i in s) for s in shares]
        assert max(each) - min(each) <= 1
