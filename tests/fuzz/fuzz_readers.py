"""Spoiled files of every kind that the package reads: each is read, or refused in one line, in 10 seconds and 1 GiB,
and nothing that it carries is run.

    python tests/fuzz/fuzz_readers.py [--count 1000] [--seed 0] [--kinds png tags ...] [--only 137] [--keep FOLDER] \
        [--out nbs/7_results/stored/fuzz.json]

Of each kind come first some whole files, which must be read, then some hostile ones (pickles that want to call
os.system, an XML bomb, archives whose names lead out of the folder), then these with bytes or words changed; case i
depends on (seed, kind, i) alone. A file that was packed is at times unpacked, changed inside and packed again, so
that its own sums don't catch the change. Anything but success or `InputError` is a failure, also a crash of the
process, a file outside of the folder, and 10 seconds or 1 GiB more than before. Needs Linux, for it measures memory
in /proc. --only does single cases again and --keep stores their files.
"""

import argparse
import base64
import collections
import contextlib
import gzip
import io
import json
import multiprocessing
import os
import pickle
import platform
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
import numpy as np
import scipy
import torch
from PIL import Image
import PIL
import vwl
from safetensors.torch import save as save_tensors
from vwl.models.weights import read_weights
from vwl.apps.arguments import data_settings
from vwl.data.coco import prepare_coco
from vwl.data.images import ImageSet, read_folder
from vwl.data.image_files import read_image
from vwl.data.archives import unpack
from vwl.data.datasets import DataSet, find_data, paper_figure, read_dataset, write_dataset
from vwl.apps.stored_results import differing, run_key
from vwl.apps.compare import load_table
from vwl.data.cam_exchange import read_published_cams, write_published_cams
from vwl.errors import InputError
from vwl.engine.arrays import load_arrays, load_label, save_label
from vwl.engine.files import log_checksum, read_checksums, write_manifest, write_json
from vwl.stages.training import resume
from vwl.stages.run import make_run, open_run
from vwl.stages.source_images import SourceImages
from vwl.engine.settings import preset
from vwl.data.scenes import write_scenes
from vwl.data.cams import load_cams, save_cams
from vwl.seeds import threshold_seeds
from vwl.stages.classifier import classifier_trainer
from vwl.data.voc import box_tags, sbd_mask
from vwl.engine.workers import parallel_map
from vwl.data.look_alikes import save_sbd, write_coco
from vwl.data.annotated import write_annotated
from vwl.data.formats_in import read_annotations
from vwl.data.formats_out import MaskedImage, write_masks

SECONDS, MEMORY, GUARD = 10, 2**30, 2**33  # limits of a case; address space beyond which an allocation fails
SIZE, OUTSIDE = (60, 80), [Path('executed'), Path('escaped'), Path(tempfile.gettempdir()) / 'vwl-fuzz-escaped']


class Hang(BaseException):
    "Raised by the alarm; no `except Exception` holds it."


@dataclass
class Kind:
    "How files of one kind are made and read."

    name: str  # of the file, below the working folder
    read: callable  # of its path
    whole: list  # bytes of files that must be read
    hostile: list = ()  # bytes of files that may be refused
    text: str = ''  # 'text', 'json' or 'xml' if changes of words are worth while


# ---- files of each kind


def image_file(mode, form, **more):
    "A picture of `SIZE` with some structure."
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    rgb = np.stack([3 * x, 4 * y, (x * y) % 256], -1).astype(np.uint8)
    image = (
        Image.fromarray((y * 900).astype(np.uint16))
        if mode == 'I;16'
        else Image.fromarray((y / 60).astype(np.float32))
        if mode == 'F'
        else Image.fromarray(rgb).convert(mode)
    )
    if mode in ('RGBA', 'LA'):
        image.putalpha(Image.fromarray((3 * x).astype(np.uint8)))
    image.save(out := io.BytesIO(), form, **more)
    return out.getvalue()


def turned(orientation=6):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = 'a photograph'
    return exif


def small_turned(orientation):
    "A picture of which most bytes are EXIF."
    exif = turned(orientation)
    for tag, value in (0x010F, 'maker'), (0x011A, 72.0), (0x0131, 'program'), (0x9003, '2022:02:02 02:02:02'):
        exif[tag] = value
    Image.new('RGB', (16, 8), (200, 30, 60)).save(out := io.BytesIO(), 'jpeg', exif=exif)
    return out.getvalue()


class Call:
    "Pickles as a call."

    def __init__(self, function, *args, state=None):
        self.said = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.said


def calls():
    "What a hostile pickle may want."
    void = Call(np.dtype, 'V8', False, True, state=(3, '|', None, ('a',), {'a': (np.dtype('O'), 0)}, 8, 1, 0))
    bare = Call(np.dtype, 'O8', False, True, state=(3, '|', None, None, None, -1, -1, 0))
    frombuffer, reconstruct = np._core.numeric._frombuffer, np._core.multiarray._reconstruct
    return [
        Call(os.system, 'touch executed'),
        Call(eval, 'open("executed", "w")'),
        Call(exec, 'open("executed", "w")'),
        Call(os.mkdir, 'executed'),
        Call(open, 'executed', 'w'),
        Call(getattr, 'a', 'upper'),
        Call(np.ndarray, (1,), np.dtype('O'), b'A' * 8),
        Call(frombuffer, b'A' * 8, void, (1,), 'C'),
        Call(frombuffer, b'A' * 8, bare, (1,), 'C'),
        Call(reconstruct, np.ndarray, (0,), b'b', state=(1, (1,), bare, False, b'A' * 8)),
        Call(np.ndarray, (2**40,), np.dtype('u1')),
        Call(torch.storage._load_from_bytes, pickle.dumps(Call(os.system, 'touch executed'))),
    ]


def published(value, object_array=True):
    np.save(out := io.BytesIO(), np.array(value, dtype=object) if object_array else value, allow_pickle=True)
    return out.getvalue()


def stored(save, *args, **kw):
    "The bytes that a function writes into a file."
    save(path := Path('stored') / 'file', *args, **kw)
    return path.read_bytes()


def torched(value):
    torch.save(value, out := io.BytesIO())
    return out.getvalue()


def zipped(members, level=zipfile.ZIP_DEFLATED):
    "A .zip of (name, bytes), the same at any time."
    with zipfile.ZipFile(out := io.BytesIO(), 'w') as z:
        for name, data in members:
            z.writestr(zipfile.ZipInfo(name) if isinstance(name, str) else name, data, level)
    return out.getvalue()


def tarred(*members):
    "A .tar of (name, bytes, other fields of its header), the same at any time."
    out = b''
    for name, data, fields in members:
        info = tarfile.TarInfo(name)
        for k, v in (dict(size=len(data)) | fields).items():
            setattr(info, k, v)
        out += info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)
    return out + bytes(1024)


BAD_NAMES = [
    '../escaped',
    'a/../../escaped',
    str(OUTSIDE[2]),
    '/'.join(['..'] * 30) + str(OUTSIDE[2]),
    '',
    '.',
    'a/',
    'n' * 300,
    '/'.join('d' * 3000),
    'a\\..\\..\\escaped',
    'é\n',
    'a',
    'a/b',
]


def symlink_zip():
    info = zipfile.ZipInfo('link')
    info.external_attr = 0o120777 << 16
    return zipped([(info, '..'), ('link/escaped', b'x')])


def bomb_xml():
    return (
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e0 "lol">'
        + ''.join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
        + ']><annotation><object><name>&e9;</name></object></annotation>'
    ).encode()


# ---- how they are read


def photograph(path):
    assert read_image(path).mode == 'RGB'


def mask(path):
    load_label(path)
    images = ImageSet(
        Path(), ('mask',), ('image.png',), np.zeros((1, 3), np.float32), ('a', 'b', 'c'), Path(), (0, 1, 2, 3)
    )
    assert set(np.unique(images.mask(0))) <= {0, 1, 2, 3, 255}


def every(*uses):
    "All of several uses, also where one is refused."
    refused = None
    for use in uses:
        try:
            use()
        except InputError as e:
            refused = e
    if refused:
        raise refused


def cams(path):
    def use(size, at):
        maps, keys = load_cams(path, size, at)
        assert (
            len(maps) == len(keys) and np.isfinite(maps).all() and (not maps.size or 0 <= maps.min() <= maps.max() <= 1)
        )
        threshold_seeds(maps, keys)

    every(lambda: use(SIZE, None), lambda: use(None, SIZE), lambda: use(None, None))


def published_cams(path):
    try:
        read_published_cams(path, SIZE, 3)
    except InputError:
        pass
    else:
        raise AssertionError('a pickle was read without leave')
    maps, keys = read_published_cams(path, SIZE, 3, trusted=True)
    assert maps.shape == (len(keys), 15, 20) and np.isfinite(maps).all() and set(keys) <= {1, 2, 3}


def described(path):
    found = read_dataset(find_data(path.parent))
    every(
        lambda: preset('paper', **data_settings(['run', str(path.parent)])),
        lambda: paper_figure(found, preset('paper'), 'CAM'),
        lambda: path.parent / found.test_list,
    )


def sums(path):
    try:
        read_checksums(path.parent)
        write_manifest(path.parent)
    finally:
        for p in path.parent.iterdir():
            p.unlink()


@cache
def trainer():
    made = classifier_trainer(preset('toy', crop=48, batch_size=2, n_words=8, frozen_stages=0), read_folder('scenes'))
    return made, dict(vars(made))


def checkpoint(path):
    made, before = trainer()
    try:
        resume(made, path)
        assert isinstance(made.finished, bool) and all(
            vars(made)[k] is v for k, v in before.items() if k not in ('epoch', 'done', 'sums', 'history')
        )
    finally:
        vars(made).clear()
        vars(made).update(before)


def in_a_process(path):
    return next(parallel_map(sbd_mask, [path], 1, path))  # as `prepare_voc` does: scipy's reader crashes on some


def weights(path):
    assert all(isinstance(v, torch.Tensor) and isinstance(k, str) for k, v in read_weights(path).items())


def annotations(path):
    shutil.rmtree('coco/masks', ignore_errors=True)
    prepare_coco('coco', subset=True)


def unpacked(path):
    shutil.rmtree('out')
    Path('out').mkdir()
    try:
        unpack(path, 'out/in')
    finally:
        assert not Path('out/in').is_file() and not any(
            p.is_symlink() or not (p.is_file() or p.is_dir()) for p in Path('out').rglob('*')
        ), 'a file in the place of the folder, or none'


def imported(form, source):
    "The whole way of annotations of a format: read, written as a folder, which is read again with its masks."
    shutil.rmtree('imported', ignore_errors=True)
    folder = read_folder(write_annotated(read_annotations(form, source), 'imported', 'photographs'))
    for i in folder.masked():
        folder.mask(i)


def annotated_kinds():
    "Kinds of files of tools for annotation: as this package writes them, and by hand."
    Path('photographs').mkdir()
    for name in 'ab':
        Image.new('RGB', SIZE[::-1]).save(f'photographs/{name}.jpg')
    label = np.zeros(SIZE, np.uint8)
    label[5:30, 10:50], label[20:50, 40:70], label[:3] = 1, 2, 255
    masked = [MaskedImage('a.jpg', label), MaskedImage('b.jpg', label[::-1])]

    def whole(form, file, tolerance=None):
        out = Path('stored') / f'{form}-{tolerance}'
        write_masks(masked, ('cow', 'sea cow'), 'photographs', form, out, tolerance)
        return (out / file).read_bytes()

    def submitted(raw):
        tasks = json.loads(raw)
        return json.dumps([dict(data=t['data'], annotations=t['predictions']) for t in tasks]).encode()

    def kind(form, file, files, hostile=(), text='json'):
        path = Path('tools') / form / file
        path.parent.mkdir(parents=True)
        return Kind(str(path), partial(imported, form), files, hostile, text)

    studio = [submitted(whole('label-studio', 'tasks.json', t)) for t in (None, 1.0)]
    chosen = b'[{"image": "a.jpg", "choice": {"choices": ["cow"]}}, {"image": "b.jpg", "choice": "cow"}]'
    tall = json.loads(studio[0])
    for task in tall:
        for result in task['annotations'][0]['result']:
            result |= dict(original_width=65000, original_height=65000)
    cvat = [whole('cvat', 'annotations.xml', t) for t in (None, 1.0)]
    huge = cvat[0].replace(b'width="80" height="60"', b'width="65000" height="65000"')
    marked = whole('labelme', 'a.json')
    Image.fromarray(label[5:30, 10:50] == 1).save(png := io.BytesIO(), 'png')
    shape = dict(label='cow', points=[[10, 5], [49, 29]], shape_type='mask')
    pasted = json.loads(marked) | dict(shapes=[shape | dict(mask=base64.b64encode(png.getvalue()).decode())])
    wide = pasted | dict(imageWidth=65000, imageHeight=65000)
    hub = b'{"file_name": "a.jpg", "labels": ["cow"]}\n{"file_name": "b.jpg", "objects": {"categories": ["dog"]}}\n'
    voc = '<annotation><filename>a.jpg</filename><object><name>cow</name></object></annotation>'
    hot = b'file,cow,sea cow\na.jpg,1,0\nb.jpg,0,1\n'
    return {
        'label-studio': kind('label-studio', 'tasks.json', [*studio, chosen], [json.dumps(tall).encode()]),
        'cvat': kind('cvat', 'annotations.xml', cvat, [bomb_xml(), huge], 'xml'),
        'coco-json': kind(
            'coco', 'any.json', [whole('coco', 'annotations/instances_default.json', t) for t in (None, 1)]
        ),
        'labelme': kind('labelme', 'a.json', [marked, json.dumps(pasted).encode()], [json.dumps(wide).encode()]),
        'voc-xml': kind('voc', 'a.xml', [voc.encode()], [bomb_xml()], 'xml'),
        'hot-csv': kind('csv', 'hot.csv', [hot, hot.replace(b',', b';')], text='text'),
        'hub': kind('hugging-face', 'metadata.jsonl', [hub], text='json'),
    }


def make_kinds():
    "All kinds, their files made below the current folder."
    Path('stored').mkdir()
    Path('out').mkdir()
    write_scenes('scenes', 4)
    write_coco(Path('coco'))
    save_label('image.png', np.zeros(SIZE, np.uint8))
    rng, kinds = np.random.default_rng(0), {}
    make_run('scenes', 'run', preset('toy'))
    Path('run/classifier').mkdir()
    recipe = json.loads(Path('run/recipe.json').read_text())
    recipe['data']['folder'] = 'scenes'
    recipe['versions'] = {}
    for name in 'table', 'classes', 'lists', 'labelmap':
        shutil.copytree('scenes', name)
    for form, more in dict(
        jpeg=[('RGB', {}), ('L', {}), ('CMYK', {}), ('RGB', dict(progressive=True, exif=turned()))],
        gif=[
            ('P', {}),
            ('L', dict(transparency=3)),
            ('P', dict(save_all=True, append_images=[Image.new('P', (80, 60), 3)])),
        ],
        png=[
            ('RGB', {}),
            ('RGBA', {}),
            ('LA', {}),
            ('P', {}),
            ('P', dict(transparency=b'\0\x80')),
            ('I;16', {}),
            ('1', {}),
            ('L', dict(exif=turned())),
        ],
        bmp=[('RGB', {}), ('P', {}), ('1', {})],
        webp=[('RGB', {}), ('RGBA', dict(lossless=True)), ('RGB', dict(exif=turned()))],
        tiff=[
            ('RGB', {}),
            ('RGB', dict(compression='tiff_lzw')),
            ('P', dict(compression='tiff_deflate')),
            ('L', dict(compression='jpeg')),
            ('I;16', {}),
            ('CMYK', dict(exif=turned())),
        ],
    ).items():
        kinds[form] = Kind(
            f'photo.{form}', photograph, [image_file(mode, form, **m) for mode, m in more], [image_file('F', 'tiff')]
        )
    ids = rng.integers(0, 4, SIZE).astype(np.uint8)
    kinds['exif'] = Kind('turned.jpg', photograph, [small_turned(o) for o in (1, 3, 6, 8)])
    kinds['mask'] = Kind('mask.png', mask, [stored(save_label, ids), stored(save_label, ids // 4)])
    table = Path('scenes/tags.csv').read_bytes()
    kinds['tags'] = Kind(
        'table/tags.csv',
        lambda p: read_folder(p.parent),
        [table, b'\xef\xbb\xbf' + table.replace(b'\n', b'\r\n'), table.replace(b',', b'\t')],
        [b'image,tags\n' + b''.join(b'%d.png,tag%d\n' % (i, i) for i in range(100000))],
        'text',
    )
    kinds['classes'] = Kind(
        'classes/classes.txt',
        lambda p: read_folder(p.parent),
        [Path('scenes/classes.txt').read_bytes()],
        [b''.join(b'class%d\n' % i for i in range(60000))],
        'text',
    )
    kinds['labelmap'] = Kind(
        'labelmap/labelmap.txt',
        lambda p: read_folder(p.parent),
        [b'# label:color_rgb:parts:actions\nbackground:0,0,0::\nfox:255,0,0::\nowl:0,128,0::\n'],
        [b''.join(b'fox:%d,0,0::\n' % (i % 256) for i in range(60000))],
        'text',
    )
    kinds['sources'] = Kind(
        'sources/images.json',
        lambda p: SourceImages(p.parent).changed(p.parent, ['a.jpg']),
        [b'{"a.jpg": [3, "0123456789abcdef"], "b/c.png": [12, "fedcba9876543210"]}'],
        text='json',
    )
    kinds['list'] = Kind(
        'lists/list.txt',
        lambda p: read_folder(p.parent, names='list.txt'),
        [b'scene_00001\nscene_00003.png\n'],
        [b''.join(b'scene_%06d\n' % min(i, 82079) for i in range(82081))],
        'text',
    )
    Path('dataset').mkdir()
    Path('sums').mkdir()
    Path('sources').mkdir()
    Path('sources/a.jpg').write_bytes(b'abc')
    Path('run/results').mkdir()
    Path('dataset/tags.csv').write_bytes(table)
    kinds['dataset'] = Kind(
        'dataset/dataset.json',
        described,
        [
            write_dataset(
                'stored', DataSet('voc', dict(train_list='lists/train.txt', seg_steps=3), 'test.txt')
            ).read_bytes()
        ],
        text='json',
    )
    kinds['recipe'] = Kind(
        'run/recipe.json', lambda p: open_run(p.parent), [json.dumps(recipe, indent=1).encode()], text='json'
    )
    log_checksum(Path('stored'), Path('stored/dataset.json'))
    log = next(Path('stored').glob('sums.*.log')).read_bytes()
    digests, shown = dict(names='12'), preset('toy', words='none')
    result = dict(
        key=run_key(shown, digests),
        until='seeds',
        seed=1,
        figures=dict(cam=0.5, cam_best=0.25),
        data=dict(name='scenes', digests=digests),
        base='toy',
        settings=differing(shown, 'toy'),
    )
    kinds['result'] = Kind(
        'run/results/hp_small_seed1.json',
        lambda p: repr(load_table('table9', p.parent.parent, 'toy')),
        [json.dumps(result).encode()],
        [json.dumps(result | dict(figures=dict(cam=float('nan')))).encode()],
        text='json',
    )
    kinds['manifest'] = Kind(
        'sums/manifest.json', sums, [b'{"a.png": "0123456789abcdef", "b/c.png": "fedcba9876543210"}'], text='json'
    )
    kinds['sums'] = Kind('sums/sums.host.log', sums, [log * 2 + b'0123456789abcdef gone.png\n'], text='text')
    maps = torch.from_numpy(rng.random((2, 15, 20), np.float32))
    kinds['npz'] = Kind(
        'arrays.npz',
        load_arrays,
        [stored(save_cams, maps, [1, 3], SIZE), stored(lambda p, **a: p.write_bytes(zipped([])))],
        [npz(a=np.array(calls()[:1], object))],
    )
    huge = [
        npz(cam=c, keys=np.array(k), size=np.array(s))
        for c, k, s in (
            (np.zeros((1, 2, 2), np.uint8), [1], [2**30, 2**30]),
            (np.zeros((1, 2, 2), np.uint8), [1], [-1, 5]),
            (np.zeros((1, 0, 2), np.uint8), [1], SIZE),
            (np.zeros((1, 2, 2), np.uint8), [1.5], SIZE),
            (np.zeros((1, 2, 2), np.uint8), ['a'], SIZE),
            (np.zeros((1, 2, 2), np.uint8), [1], [60.0, 80.0]),
            (np.zeros((0, 2, 2), np.uint8), [], [2**30, 2**30]),
        )
    ]
    kinds['cams'] = Kind(
        'cams.npz',
        cams,
        [
            stored(save_cams, maps, [1, 3], SIZE),
            stored(save_cams, maps, [1, 3], SIZE, 16),
            stored(save_cams, maps[:0], [], SIZE),
        ],
        huge,
    )
    as_torch = dict(
        keys=torch.tensor([0, 2]), cam=maps, high_res=maps.repeat_interleave(4, 1).repeat_interleave(4, 2).numpy()
    )
    kinds['published'] = Kind(
        'cams.npy',
        published_cams,
        [
            stored(write_published_cams, maps.numpy(), [1, 3], SIZE),
            published(as_torch),
            published(as_torch | dict(cam=maps.numpy())),
        ],
        [published(v) for c in calls() for v in (dict(keys=c, cam=c), c)] + [published([c], False) for c in calls()],
    )
    state = dict(a=torch.rand(3, 4), b=torch.arange(3), c=torch.rand(2).half())
    kinds['safetensors'] = Kind(
        'weights.safetensors',
        weights,
        [save_tensors(state), save_tensors({})],
        [struct.pack('<Q', n) + b'{' for n in (2**63, 2**40, 1)],
    )
    legacy = io.BytesIO()
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    kinds['pth'] = Kind(
        'weights.pth',
        weights,
        [torched(state), torched(dict(state_dict=state)), legacy.getvalue()],
        [torched(dict(a=c)) for c in calls()]
        + [pickle.dumps(c) for c in calls()]
        + [
            torched(dict(a=torch.zeros(1, dtype=torch.float16).expand(2**36))),
            torched(dict(a=torch.eye(3).to_sparse())),
            torched(dict(state_dict=[1])),
        ],
    )
    made, _ = trainer()
    made.history, made.done = [dict(cls=0.5)], 2
    kinds['checkpoint'] = Kind(
        'checkpoint.safetensors',
        checkpoint,
        [made.state()],
        [
            with_place(made.state(), v)
            for v in (dict(net=1), dict(done='2'), dict(epoch=None), dict(history=3), dict(sums=[]))
        ],
    )
    trainer.cache_clear()
    box = (
        '<annotation>\n<size><width>80</width></size>'
        + '<object><name>{}</name><part><name>head</name></part><difficult>1</difficult></object>' * 2
        + '</annotation>'
    )
    encoded = [
        f'<?xml version="1.0" encoding="{e}"?>{box.format("cat", "dog")}'.encode()
        for e in ('utf-7', 'nothing', 'cp037', 'utf-16', 'big5', 'idna', 'rot13', 'hex')
    ]
    kinds['xml'] = Kind(
        'box.xml',
        box_tags,
        [box.format('cat', 'dog').encode(), box.format('person', 'tvmonitor').encode('utf-16')],
        [bomb_xml(), b'<a>' * 100000 + b'</a>' * 100000, *encoded],
        'xml',
    )
    kinds['mat'] = Kind(
        'mask.mat',
        in_a_process,
        [b'MATLAB'.ljust(116) + stored(save_sbd, ids)[116:]],
        [b'MATLAB'.ljust(116) + stored(save_sbd, ids[:n])[116:] for n in (0,)],
    )
    kinds['coco'] = Kind(
        'coco/annotations/instances_train2014.json',
        annotations,
        [Path('coco/annotations/instances_train2014.json').read_bytes()],
        text='json',
    )
    kinds |= annotated_kinds()
    a = [('a', b'x' * 3000, {}), ('b/c', b'', {}), ('b/d', b'y', {})]
    bad = [[(n, b'x', {})] for n in BAD_NAMES] + [
        [('l', b'', dict(type=t, linkname=to)), ('l/escaped', b'x', {})]
        for t in (tarfile.SYMTYPE, tarfile.LNKTYPE)
        for to in ('..', '../escaped', '/etc/passwd', str(OUTSIDE[2]))
    ]
    bad += [
        [('dev', b'', dict(type=t, devmajor=1, devminor=5))]
        for t in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    ] + [
        [('sparse', b'x' * 512, dict(type=tarfile.GNUTYPE_SPARSE))],
        [('big', b'', dict(size=2**40))],
        [('a', b'x', {}), ('a/b', b'x', {})],
        [('a/b', b'x', {}), ('a', b'x', {})],
    ]

    def squeeze(b):
        return gzip.compress(b, mtime=0)

    kinds['tar'] = Kind('archive.tar', unpacked, [tarred(*a)], [tarred(*m) for m in bad])
    kinds['tgz'] = Kind(
        'archive.tgz',
        unpacked,
        [squeeze(tarred(*a))],
        [squeeze(tarred(*m)) for m in bad] + [squeeze(tarred(('bomb', bytes(2**26), {})))],
    )
    kinds['zip'] = Kind(
        'archive.zip',
        unpacked,
        [zipped(m[:2] for m in a), zipped((m[:2] for m in a), 0)],
        [zipped([(n, b'x')]) for n in BAD_NAMES if n]
        + [symlink_zip(), zipped([('bomb', bytes(2**26))]), zipped([('a', b'x'), ('a/b', b'x')])],
    )
    return kinds


def npz(**arrays):
    np.savez_compressed(out := io.BytesIO(), **arrays)
    return out.getvalue()


def with_place(data, values):
    "A checkpoint whose place in the schedule has other values."
    n = int.from_bytes(data[:8], 'little')
    header = json.loads(data[8 : 8 + n])
    place = json.loads(header['__metadata__']['place'])
    header['__metadata__']['place'] = json.dumps(place | values)
    return struct.pack('<Q', len(text := json.dumps(header).encode())) + text + data[8 + n :]


# ---- how they are spoiled

INTEGERS = [
    struct.pack(order + size, n)
    for size, top in (('B', 2**8), ('H', 2**16), ('I', 2**32), ('Q', 2**64))
    for order in '<>'
    for n in (0, top - 1, top // 2, top // 2 - 1, top // 256)
]
ODD = [
    None,
    True,
    False,
    -1,
    0,
    2**31,
    2**63,
    10**400,
    0.5,
    -1e308,
    float('nan'),
    float('inf'),
    '',
    'x' * 5000,
    '\0',
    '\ud800',
    'a\nb',
    '../..',
    '/',
    [],
    {},
    [[]],
    [None],
    {'a': 1},
    ['a', 1],
]
WORDS = [
    b'"',
    b"'",
    b',',
    b';',
    b'\t',
    b'\n',
    b'\r',
    b'\0',
    b' ',
    b'\xef\xbb\xbf',
    b'\xff\xfe',
    b'\xff',
    b'\xed\xa0\x80',
    b'\xe2\x80\xae',
    b'x' * 300,
    b'x' * 1000000,
    b'\n' * 100000,
    b'..',
    b'../',
    b'/',
    b'\\',
    b'-1',
    b'1e999',
    b'9' * 5000,
    b'null',
    b'[',
    b'}',
    b'<',
    b'>',
    b'&a;',
    b'&#0;',
    b'<![CDATA[',
    b'<a>',
    b'</object>',
    b'.png',
    b'background',
]
NESTED = [
    b'[' * 100000,
    b'{"a":' * 100000,
    b'[' * 100000 + b']' * 100000,
    b'<a>' * 100000,
    b'<object>' * 100000 + b'</object>' * 100000,
]


def to_device(data, r):
    "Somewhere, more often near the beginning or the end."
    n = min(len(data), r.choice((32, 128, 512, len(data), len(data))))
    return (len(data) - 1 - r.randrange(n)) if r.random() < 0.15 else r.randrange(n)


def spoil_bytes(data, r, others):
    "One change of bytes."
    if not data:
        return r.choice(others)
    at, n = to_device(data, r), min(r.choice((1, 2, 4, 16, 100, 1000)), len(data))

    def flipped():
        out = bytearray(data)
        for _ in range(r.choice((1, 1, 3, 10))):
            out[to_device(data, r)] ^= 1 << r.randrange(8)
        return bytes(out)

    number = r.choice(INTEGERS)
    return r.choice(
        (
            flipped,
            flipped,
            lambda: data[:at] + r.randbytes(n) + data[at + n :],
            lambda: data[:at] + r.choice((b'\0', b'\xff')) * n + data[at + n :],
            lambda: data[:at],
            lambda: data[: at + n] + data[at:],
            lambda: data[:at] + data[at + n :],
            lambda: data[:at] + number + data[at:],
            *[lambda: data[:at] + number + data[at + len(number) :]] * 3,
            *([lambda: b'', lambda: bytes(len(data)), lambda: r.choice(others)] if r.random() < 0.1 else []),
        )
    )()


def spoil_words(data, r, others):
    "One change of a text's words, or of its encoding."
    words = re.findall(rb'\w+|\s+|.', data, re.S) or [b'']
    i, j, word = r.randrange(len(words)), r.randrange(len(words)), r.choice(NESTED if r.random() < 0.03 else WORDS)
    if r.random() < 0.05:
        return data.decode('utf-8', 'replace').encode(
            r.choice(('utf-8-sig', 'utf-16', 'utf-16-le', 'utf-32', 'utf-7', 'cp037', 'latin-1')), 'replace'
        )
    return b''.join(
        r.choice(
            (
                lambda: words[:i] + [word] + words[i:],
                lambda: words[:i] + [word] + words[i + 1 :],
                lambda: words[:i] + words[i + 1 :],
                lambda: words[:i] + words[min(i, j) :],
                lambda: words[:i] + [words[j]] + words[i + 1 :],
                lambda: words * 2,
            )
        )()
    )


def spoil_json(data, r, others):
    "One value of a JSON file changed for an odd one, left out or taken from elsewhere."
    try:
        value = {'': json.loads(data)}
    except (ValueError, RecursionError):
        return spoil_words(data, r, others)
    places, todo = [], [value]
    while todo:
        v = todo.pop()
        for k in v if isinstance(v, dict) else range(len(v)):
            places.append((v, k))
            if isinstance(v[k], (dict, list)):
                todo.append(v[k])
    (v, k), (w, l) = r.choice(places), r.choice(places)
    if r.random() < 0.2 and v is not value:
        del v[k]
    else:
        v[k] = json.loads(json.dumps(w[l])) if r.random() < 0.2 else r.choice(ODD)
    return json.dumps(value['']).encode()


def spoil_inside(data, r, spoil):
    "What is packed in a file changed, so that sums of the packing don't tell."
    if data[:2] == b'PK':
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as z:
                members = [(i.filename, z.read(i)) for i in z.infolist()]
        except Exception:
            return spoil(data)
        if not members:
            return spoil(data)
        i = (
            max(range(len(members)), key=lambda i: members[i][0].endswith('.pkl'))
            if r.random() < 0.5
            else r.randrange(len(members))
        )
        return zipped([(n, spoil(d) if k == i else d) for k, (n, d) in enumerate(members)], r.choice((0, 8)))
    if data[:2] == b'\x1f\x8b':
        return gzip.compress(spoil(gzip.decompress(data)), mtime=0)
    if data[:4] == b'\x89PNG':
        chunks, at = [], 8
        while at + 12 <= len(data):
            n = int.from_bytes(data[at : at + 4])
            chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + n]))
            at += 12 + n
        i = r.randrange(len(chunks))
        name, body = chunks[i]
        chunks[i] = (
            name,
            zlib.compress(spoil(zlib.decompress(body))) if name == b'IDAT' and r.random() < 0.5 else spoil(body),
        )
        return data[:8] + b''.join(
            struct.pack('>I', len(b)) + n + b + struct.pack('>I', zlib.crc32(n + b)) for n, b in chunks
        )
    return spoil(data)


def case(kind, name, i, seed, others):
    "The bytes of case `i`."
    if i < len(first := [*kind.whole, *kind.hostile]):
        return first[i]
    r = random.Random(f'{seed} {name} {i}')
    small, packed = [h for h in kind.hostile if len(h) < 10**5], r.random() < 0.5
    data = r.choice(small) if small and r.random() < 0.3 else r.choice(kind.whole)
    for _ in range(r.choice((1, 1, 1, 2, 4))):
        change = r.choice(
            [spoil_bytes] * (3 - 2 * bool(kind.text))
            + ([spoil_words] * 2 if kind.text else [])
            + ([spoil_json] * 4 if kind.text == 'json' else [])
        )

        def spoil(d):
            return change(d, r, others)

        data = spoil_inside(data, r, spoil) if packed else spoil(data)
        packed = False
    return data


# ---- one case after another


def status(field):
    return int(re.search(rf'{field}:\s+(\d+)', Path('/proc/self/status').read_text())[1]) * 1024


def where(e):
    "The innermost of the package's functions."
    frames = [
        f
        for f in traceback.extract_tb(e.__traceback__)
        if 'vwl' in Path(f.filename).parts or Path(f.filename) == Path(__file__)
    ]
    return f'{Path(frames[-1].filename).name}:{frames[-1].name}' if frames else ''


def try_one(kind, data, whole):
    "('read' or 'refused' or 'failed', what happened, where)."
    path = Path(kind.name)
    path.write_bytes(data)
    Path('/proc/self/clear_refs').write_text('5')
    before, started, found = status('VmRSS'), time.monotonic(), ('read', '', '')
    signal.alarm(SECONDS + 1)
    try:
        kind.read(path)
    except InputError as e:
        found = (
            ('failed', f'a whole file was refused: {e}', where(e))
            if whole
            else ('failed', 'a message of several lines', where(e))
            if '\n' in str(e)
            else ('refused', '', '')
        )
    except Hang:
        found = 'failed', f'more than {SECONDS} s', ''
    except Exception as e:
        found = 'failed', f'{type(e).__name__}: {str(e)[:200]}', where(e)
    finally:
        signal.alarm(0)
    if time.monotonic() - started > SECONDS:
        found = 'failed', f'more than {SECONDS} s', found[2]
    if (grown := status('VmHWM') - before) > MEMORY:
        found = 'failed', f'more than {MEMORY >> 20} MiB', f'{grown >> 20} MiB; then {found[0]} {found[1]}'
    for p in OUTSIDE:
        if p.exists():
            found = 'failed', f'{p.name} was written', ''
            shutil.rmtree(p) if p.is_dir() else p.unlink()
    return found


def work(kind, numbers, make, pipe):
    "In a process of its own: try the cases of these numbers, tell the number of each before, and how it went after."

    def late(*_):
        raise Hang

    signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (status('VmSize') + GUARD,) * 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    for i in numbers:
        pipe.send(i)
        pipe.send(try_one(kind, make(i), i < len(kind.whole)))
    pipe.send(None)


def try_all(kind, numbers, make):
    """Yield (number, outcome) of each case; a process that ends or says nothing is a failure too, and another goes on
    behind it.
    """
    while numbers:
        ours, theirs = multiprocessing.Pipe(False)
        process = multiprocessing.get_context('fork').Process(target=work, args=(kind, numbers, make, theirs))
        process.start()
        theirs.close()
        try:
            while (i := ours.recv()) is not None:
                if not ours.poll(3 * SECONDS):
                    process.kill()
                    yield i, ('failed', f'more than {3 * SECONDS} s, and deaf', '')
                    break
                yield i, ours.recv()
            numbers = [n for n in numbers if n > i] if i is not None else []
        except EOFError:
            process.join()
            yield i, ('failed', f'the process ended with {process.exitcode}', '')
            numbers = [n for n in numbers if n > i]
        process.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=1000, help='files of each kind')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--kinds', nargs='*', help='all if not given')
    parser.add_argument('--only', nargs='*', type=int, help='numbers of the cases')
    parser.add_argument('--keep', type=Path, help='folder for the files of --only, or of the failures')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('nbs/7_results/stored/fuzz.json'),
        help='JSON file for the counts; not with --only or --kinds',
    )
    args = parser.parse_args()
    out, keep = args.out.resolve(), args.keep and args.keep.resolve()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home, contextlib.chdir(home):
        kinds, table, failures = make_kinds(), {}, collections.defaultdict(list)
        others = [k.whole[0] for k in kinds.values()]
        print(f'{"kind":12} {"files":>6} {"read":>6} {"refused":>8} {"failed":>7} {"seconds":>8}')
        for name in args.kinds or kinds:
            counts, started, make = (
                collections.Counter(),
                time.monotonic(),
                partial(case, kinds[name], name, seed=args.seed, others=others),
            )
            for i, (outcome, what, at) in try_all(kinds[name], args.only or range(args.count), make):
                counts[outcome] += 1
                if outcome == 'failed':
                    failures[name, what.split(':')[0], at].append((i, what))
                if keep and (args.only or outcome == 'failed'):
                    keep.mkdir(exist_ok=True)
                    (keep / f'{name}-{i}{Path(kinds[name].name).suffix}').write_bytes(make(i))
            table[name] = dict(files=counts.total(), **{k: counts[k] for k in ('read', 'refused', 'failed')})
            print(
                f'{name:12} '
                + ' '.join(f'{v:{w}}' for v, w in zip(table[name].values(), (6, 6, 8, 7)))
                + f' {time.monotonic() - started:8.0f}',
                flush=True,
            )
    for (name, _, at), found in failures.items():
        print(
            f'\n{name}: {len(found)} times {found[0][1]}  ({at})\n  python tests/fuzz/fuzz_readers.py --seed '
            f'{args.seed} --kinds {name} --keep spoiled --only ' + ' '.join(str(i) for i, _ in found[:5])
        )
    versions = dict(
        vwl=vwl.__version__,
        python=platform.python_version(),
        **{m.__name__: m.__version__.split('+')[0] for m in (torch, np, PIL, scipy)},
    )
    if not (args.only or args.kinds):
        write_json(
            out,
            dict(
                seed=args.seed,
                count=args.count,
                kinds=table,
                failures=[dict(kind=n, what=w, where=a, times=len(f)) for (n, w, a), f in failures.items()],
                versions=versions,
            ),
        )
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
