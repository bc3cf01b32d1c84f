"""VOC 2012 and COCO 2014 from look-alikes of what is published to scores, and to the archive for VOC's test server;
maps of other repositories.
"""

import shutil
import tarfile
from dataclasses import replace
import numpy as np
import pytest
from PIL import Image
from vwl.apps.arguments import parse
from vwl.apps.cli import main
from vwl.data.datasets import read_dataset, write_dataset
from vwl.engine.files import read_json
from vwl.stages.run import open_run
from vwl.apps.results_table import results_table
from vwl.data.cams import load_cams
from conftest import SMALL, WHOLE, WHOLE_SETTINGS
from vwl.data.look_alikes import write_coco, write_voc

# a few steps of each stage with the networks of the paper, from random numbers, which want moving statistics
FULL = [
    '--no-freeze-batchnorm',
    '--no-seg-freeze-batchnorm',
    '--weights',
    'none',
    '--irn-weights',
    'none',
    '--seg-weights',
    'none',
    '--epochs',
    '1',
    '--batch-size',
    '2',
    '--crop',
    '96',
    '--long-side',
    '80',
    '120',
    '--scales',
    '1',
    '--irn-epochs',
    '1',
    '--irn-batch-size',
    '2',
    '--irn-crop',
    '96',
    '--seg-steps',
    '2',
    '--seg-batch-size',
    '2',
    '--seg-crop',
    '65',
    '--seg-scales',
    '1',
    '--workers',
    '0',
    '--device',
    'cpu',
]


@pytest.fixture(scope='session')
def voc(tmp_path_factory):
    "A prepared look-alike of VOC 2012."
    root = write_voc(
        tmp_path_factory.mktemp('voc'),
        train=[f'2007_{i:06}' for i in range(4)],
        val=['2007_000010', '2007_000011'],
        sbd_train=['2008_000020', '2007_000000'],
        sbd_val=['2008_000021', '2007_000010'],
        test=['2008_000030', '2008_000031'],
    )
    main(['prepare', 'voc', '--root', str(root), '--subset', '--workers', '0'])
    return root


@pytest.mark.parametrize('recipe', ['paper', 'code'])
def test_voc_to_the_test_server(voc, tmp_path, monkeypatch, capsys, recipe):
    "`vwl run voc` at the networks' full size, with VOC's lists by itself."
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'voc').symlink_to(voc)
    monkeypatch.chdir(tmp_path)
    main(['run', 'voc', '--recipe', recipe, *FULL, *(['--kept-epoch', '0'] if recipe == 'code' else [])])
    out, run = capsys.readouterr().out, tmp_path / 'runs' / f'voc-{recipe}'
    for part in (
        'resnet101, pooling hp, words learned, 6 images, 20 classes',
        'IRNet on resnet50',
        'DeepLabV2 on resnet101',
        'on 2 of 2 validation images',
        'for the test server: ',
    ):
        assert part in out
    r = read_json(run / 'recipe.json')['recipe']
    assert (r['images']['train_list'], r['images']['val_list'], r['words']['n_words']) == (
        'lists/train_aug.txt',
        'ImageSets/Segmentation/val.txt',
        256,
    )
    assert (
        read_json(run / 'metrics.json')['images'] == 4 and 'the paper' not in out
    )  # a part of the data set compares with nothing
    described, opened = read_dataset(voc / 'VOCdevkit' / 'VOC2012'), open_run(run)
    write_dataset(opened.train.root, replace(described, subset=False))
    notes = {stage: note for _, stage, _, note in results_table({'voc': opened})}
    write_dataset(opened.train.root, described)
    assert (
        '; the paper 57.3, but here ' in notes['CAM']
        and 'epochs' in notes['CAM']
        and '; the paper 71.4' in notes['CAM + IRNet']
    )
    with tarfile.open(run / 'results.tgz') as t:
        names = t.getnames()
    assert names == [f'results/VOC2012/Segmentation/comp6_test_cls/2008_{i:06}.png' for i in (30, 31)]
    if recipe == 'paper':
        main(['submit', str(run), '--competition', 'comp5', '--out', 'five.tgz', '--workers', '0', '--device', 'cpu'])
    if recipe == 'paper':
        assert 'comp5_test_cls' in tarfile.open('five.tgz').getnames()[0]


def test_coco(tmp_path, capsys):
    "COCO's lists and DeepLabV2's longer training come by themselves; grey images pass."
    root = write_coco(tmp_path / 'coco')
    main(['prepare', 'coco', '--root', str(root), '--subset', '--workers', '0'])
    main(['check', str(root), '--sheet', str(tmp_path / 'sheet.jpg'), '--workers', '0'])
    main(['run', str(root), '--out', str(tmp_path / 'run'), *FULL])
    out = capsys.readouterr().out
    assert (
        'train_list lists/train.txt' in out
        and 'seg_steps 2' in out
        and 'wine_glass' in out
        and Image.open(tmp_path / 'sheet.jpg').width > 1000
    )
    assert (
        parse(['run', str(root)]).settings.segmentation.steps == 60000
        and parse(['run', str(root), '--seg-steps', '7']).settings.segmentation.steps == 7
    )
    assert read_json(tmp_path / 'run' / 'metrics.json')['segmentation']['images'] == 4


def test_tables_of_voc(voc, tmp_path, capsys):
    "Rows of Tables 1 and 2 as `vwl experiments` runs them: one classifier, VOC's lists, the paper's numbers beside."
    main(
        [
            'experiments',
            'run',
            'table1',
            'table2',
            '--rows',
            'VWL-L',
            'fully supervised',
            '--data',
            str(voc),
            '--out',
            str(tmp_path / 'out'),
            *FULL,
        ]
    )
    out = capsys.readouterr().out
    assert (
        out.count('classifier: ') + out.count('training resnet101, pooling') == 1
        and '71.4' in out
        and '69.2' in out
        and '76.3' in out
        and 'not run' not in out
    )
    bound, tags = sorted(
        (read_json(p) for p in (tmp_path / 'out' / 'results').rglob('*.json')), key=lambda r: len(r['figures'])
    )
    assert set(bound['figures']) == {'segmentation', 'segmentation_crf'}
    assert bound['settings']['segmentation.labels'] == 'masks'
    assert {'cam', 'cam_best', 'crf', 'pseudo', 'segmentation_crf', 'val', 'ap_words'} <= set(tags['figures']) and tags[
        'data'
    ]['val'] == 2


def test_prepared_again(voc):
    "Nothing is made twice, and a mask that is gone is made again."
    folder = voc / 'VOCdevkit' / 'VOC2012' / 'SegmentationClassAug'
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.glob('*.png')}
    (folder / '2008_000020.png').unlink()
    main(['prepare', 'voc', '--root', str(voc), '--subset', '--workers', '2'])
    after = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.glob('*.png')}
    assert {k for k in before if after[k] != before[k]} == {'2008_000020.png'} and after['2008_000020.png'][
        0
    ] == before['2008_000020.png'][0]


def test_archives_are_unpacked(voc, tmp_path):
    "Archives in the folder are enough."
    for name, folder in (('VOCtrainval_11-May-2012.tar', 'VOCdevkit'), ('benchmark.tgz', 'benchmark_RELEASE')):
        (tmp_path / 'root').mkdir(exist_ok=True)
        with tarfile.open(tmp_path / 'root' / name, 'w:gz' if name.endswith('tgz') else 'w') as t:
            t.add(
                voc / folder,
                folder,
                filter=lambda m: None if 'Aug' in m.name or m.name.endswith(('tags.csv', 'dataset.json')) else m,
            )
    main(['prepare', 'voc', '--root', str(tmp_path / 'root'), '--subset', '--workers', '0'])

    def masks(root):
        return {p.name: p.read_bytes() for p in (root / 'VOCdevkit' / 'VOC2012' / 'SegmentationClassAug').glob('*.png')}

    assert masks(tmp_path / 'root') == masks(voc) and len(masks(voc)) == 8


@pytest.mark.parametrize(
    'argv, message',
    [
        (
            ['prepare', 'voc', '--root', 'empty'],
            'empty: has no VOC 2012 (JPEGImages, ImageSets/Segmentation/train.txt); put '
            'VOCtrainval_11-May-2012.tar there',
        ),
        (['prepare', 'coco', '--root', 'empty'], 'instances_train2014.json: not there'),
        (['prepare', 'voc', '--root', 'cut', '--subset'], 'VOCtrainval_11-May-2012.tar: damaged or not an archive'),
        (['prepare', 'voc', '--root', 'cut'], 'VOCtrainval_11-May-2012.tar: not the published archive'),
        (['check', 'empty'], 'empty/tags.csv: no such file'),
        (['run', 'voc'], 'voc: no such folder'),
        (['submit', 'empty'], 'empty: no run there'),
    ],
)
def test_refused(tmp_path, fails, monkeypatch, argv, message):
    for folder in 'empty', 'cut':
        (tmp_path / folder).mkdir()
    (tmp_path / 'cut' / 'VOCtrainval_11-May-2012.tar').write_bytes(b'cut short')
    monkeypatch.chdir(tmp_path)
    assert message in fails(*argv, '--workers', '0')


def test_whole_data_set_wanted(voc, fails):
    assert 'not the whole data set (train_aug: 6 of 10,582' in fails('prepare', 'voc', '--root', voc, '--workers', '0')


def test_check_ends_with_errors(data, fails, tmp_path):
    (data / 'images' / 'scene_00003.png').write_bytes(b'x')
    assert '1 errors, named above' in fails('check', data, '--sheet', tmp_path / 's.png', '--workers', '0')


def test_new_network_new_submission(voc, tmp_path):
    "What was made for the test server goes with the network that made it."
    main(
        [
            'run',
            str(voc),
            '--out',
            str(tmp_path / 'run'),
            *FULL,
            '--until',
            'predictions',
            '--seg-labels',
            'masks',
            '--seg-backbone',
            'mobilenet_v2',
        ]
    )
    assert (tmp_path / 'run' / 'results.tgz').exists() and (tmp_path / 'run' / 'submission').exists()
    open_run(tmp_path / 'run', seg_lr=0.002)
    assert not (tmp_path / 'run' / 'results.tgz').exists() and not (tmp_path / 'run' / 'submission').exists()


def test_submit_needs_voc(finished, fails):
    assert 'has no test images' in fails('submit', finished[1])


def test_maps_go_out_and_in(finished, tmp_path, fails, capsys):
    "Exported maps begin another run, without a classifier, that ends with the same seeds and pseudo labels' classes."
    data, run = finished
    main(['export-cams', str(run), '--out', str(tmp_path / 'npy')])
    begin = [
        'import-cams',
        str(data),
        '--cams',
        str(tmp_path / 'npy'),
        '--out',
        str(tmp_path / 'run'),
        *SMALL,
        *WHOLE_SETTINGS,
    ]
    assert 'say so with --trust-pickles' in fails(*begin)
    main([*begin, '--trust-pickles'])
    ours, theirs = open_run(run), open_run(tmp_path / 'run')
    for name in ours.scored.names:
        assert all(
            np.array_equal(a, b) for a, b in zip(load_cams(ours.cam_path(name)), load_cams(theirs.cam_path(name)))
        )
    main(['run', *begin[1:2], *begin[4:], '--until', 'seeds'])
    assert 'no classifier is trained' in capsys.readouterr().out
    assert read_json(tmp_path / 'run' / 'metrics.json')['crf'] == read_json(run / 'metrics.json')['crf']
    shutil.copy(tmp_path / 'npy' / 'scene_00001.npy', tmp_path / 'npy' / 'scene_00007.npy')
    assert 'but the tags are' in fails(*begin, '--trust-pickles')  # another order of classes, or another image
    (tmp_path / 'npy' / 'scene_00007.npy').unlink()
    assert 'scene_00007.npy: no such file (1 in all)' in fails(*begin, '--trust-pickles')
    assert (tmp_path / 'run' / 'seeds').exists()  # nothing was removed for it


def test_background_alone_is_said(finished, tmp_path, capsys):
    "A network that learned from seeds without objects, as from wrong initial weights, says so."
    more = ['--seg-labels', 'cam', '--threshold', '1', '--seg-weights', 'none', '--seg-steps', '40']
    main(['run', str(finished[0]), '--out', str(tmp_path / 'run'), *WHOLE, *more, '--predict-crf', 'none'])
    assert 'warning: the network sees nothing but background in all 24 images' in capsys.readouterr().out
