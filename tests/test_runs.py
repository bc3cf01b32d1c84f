"Runs: the same command gives the same files, and one that was stopped goes on to the same end."

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
from vwl.apps.cli import main
from vwl.stages.pipeline import TINY
from vwl.data.images import read_folder
from vwl.errors import InputError
from conftest import WHOLE


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob('*') if p.is_file()}


def test_same_command_same_files(finished, tmp_path):
    data, run = finished
    main(['run', str(data), '--out', str(tmp_path / 'run'), *WHOLE])
    assert contents(run) == contents(tmp_path / 'run')


def test_workers_change_nothing(finished, tmp_path):
    data, run = finished
    main(['run', str(data), '--out', str(tmp_path / 'run'), *WHOLE, '--workers', '2'])
    assert contents(run) == contents(tmp_path / 'run')


def test_killed_run_goes_on(finished, tmp_path):
    """Killed after an epoch of each training, among the maps, labels and predictions, the run ends with the files of
    one that was not.
    """
    data, _ = finished
    command = [
        sys.executable,
        '-m',
        'vwl',
        'run',
        str(data),
        '--out',
        str(tmp_path / 'killed'),
        *WHOLE,
        '--epochs',
        '2',
        '--irn-epochs',
        '2',
    ]
    for sign in (
        'classifier/checkpoint.safetensors',
        'cams/scene_00002.npz',
        'irnet/labels/scene_00005.png',
        'irnet/checkpoint.safetensors',
        'pseudo_labels/scene_00003.png',
        'segmentation/checkpoint.safetensors',
        'predictions/crf/scene_00001.png',
    ):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while not (tmp_path / 'killed' / sign).exists() and process.poll() is None:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    for folder in 'killed', 'whole':
        main(['run', str(data), '--out', str(tmp_path / folder), *WHOLE, '--epochs', '2', '--irn-epochs', '2'])
    killed, whole = contents(tmp_path / 'killed'), contents(tmp_path / 'whole')
    killed = {k: v for k, v in killed.items() if not k.endswith('.part')}
    assert {
        k for k in whole if k != 'report.html' and killed.get(k) != whole[k]
    } == set() and killed.keys() == whole.keys()


def test_crf_where_the_network_is(finished, tmp_path):
    """On another device than `cpu` the dense CRF is computed in the first process, on that device; `cpu:0` is one that
    is there everywhere. The same masks come out.
    """
    data, run = finished
    place = ['--workers', '2', '--device', 'cpu:0']  # the later flag counts
    main(['run', str(data), '--out', str(tmp_path / 'run'), *WHOLE, *place])
    for folder in 'seeds', 'irnet/labels', 'pseudo_labels', 'predictions':
        assert contents(run / folder) == contents(tmp_path / 'run' / folder)


def small_demo(out, workers=0, **settings):
    from vwl.apps.demo import run_demo
    from vwl.engine.processes import Machine

    run_demo(out, machine=Machine('cpu', workers), n=(16, 8), **TINY | dict(epochs=2) | settings)


def test_demo_side_by_side(tmp_path, monkeypatch):
    "In two processes the demo gives what it gives in one with one thread; a mistake in the second is one line."
    threads = torch.get_num_threads()
    small_demo(tmp_path / 'two', workers=2)
    assert torch.get_num_threads() == threads
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    torch.set_num_threads(1)
    try:
        small_demo(tmp_path / 'one')
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / 'one' / 'results.json').read_text() == (tmp_path / 'two' / 'results.json').read_text()
    (tmp_path / 'two' / 'gap' / 'recipe.json').write_text('{')
    with pytest.raises(InputError, match='recipe.json'):
        small_demo(tmp_path / 'two', workers=2)


def test_killed_at_any_moment(tmp_path, monkeypatch):
    """The demo's pipeline, killed again and again at random moments until it comes through, ends with the files of one
    that ran in peace.
    """
    monkeypatch.setenv('VWL_CHECKPOINT_SECONDS', '0')  # a checkpoint after each step
    server, rng, kills = multiprocessing.get_context('forkserver'), random.Random(0), 0
    server.set_forkserver_preload(['vwl.apps.demo'])  # a process begins at once, not after seconds of imports

    def run(out, seconds=None):
        process = server.Process(target=small_demo, args=(out,))
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
        return process.exitcode

    for half in '.comparison.png.1.part', 'gap/.recipe.json.1.part':
        (tmp_path / 'demo' / half).parent.mkdir()
        (tmp_path / 'demo' / half).touch()  # as a kill leaves it while the file is written
    while (code := run(tmp_path / 'demo', rng.uniform(0, min(4.0, 0.5 + kills / 10)))) == -signal.SIGKILL:
        kills += 1
    killed = contents(tmp_path / 'demo')
    shutil.rmtree(tmp_path / 'demo')  # a run remembers where its data are, so the other one has the same place
    assert code == run(tmp_path / 'demo') == 0 and kills > 10
    whole = contents(tmp_path / 'demo')
    assert {k for k in whole if killed.get(k) != whole[k]} == set() and killed.keys() == whole.keys()


def test_bound_in_the_same_run(run, capsys):
    "Fully supervised training is the same command with masks for labels; what came before stays."
    before = contents(run)
    main(['segment', str(run), '--seg-labels', 'masks', '--workers', '0', '--device', 'cpu'])
    main(['predict', str(run), '--workers', '0', '--device', 'cpu'])
    main(['evaluate', str(run), '--workers', '0'])
    assert 'learned from true masks, on 24 of 24 validation images' in capsys.readouterr().out
    changed = {k.split('/')[0] for k, v in contents(run).items() if before.get(k) != v}
    assert changed == {'recipe.json', 'segmentation', 'predictions', 'metrics.json', 'report.html'}


def test_what_a_changed_threshold_costs(finished, tmp_path, capsys):
    "It makes the seeds by threshold again, and what learned from them; a network that learned from CRF seeds stays."
    data, _ = finished
    run = tmp_path / 'run'
    main(['run', str(data), '--out', str(run), *WHOLE, '--seg-labels', 'crf'])
    before = contents(run)
    capsys.readouterr()
    main(['seeds', str(run), '--threshold', '.4', '--workers', '0'])
    assert 'threshold 0.25 -> 0.4: removed seeds/cam, made with the old setting\n' in capsys.readouterr().out
    after = contents(run)
    changed = {k for k in before.keys() | after if before.get(k) != after.get(k)}
    assert {k for k in changed if not k.startswith('seeds/cam/')} == {
        'recipe.json',
        'metrics.json',
        'report.html',
        'seeds/manifest.json',
    }
    main(['seeds', str(run), '--crf-background', '.3', '--workers', '0'])
    again = f'; to make again: vwl segment {run}, vwl predict {run}'
    assert f'removed seeds/crf, segmentation, predictions, made with the old setting{again}' in capsys.readouterr().out
    assert not (run / 'segmentation').exists() and {p.name for p in (run / 'seeds').iterdir()} >= {'cam', 'crf'}


def test_nothing_is_lost_to_a_wrong_change(run, data, fails):
    "What a stage would lack with its new settings is said before anything is removed."
    main(['run', str(data), '--out', str(run), *WHOLE])  # the run's data set is a copy now
    shutil.rmtree(data / 'masks')
    shutil.rmtree(run / 'pseudo_labels')
    shutil.rmtree(run / 'irnet')
    before = contents(run)
    assert 'no image has a true mask' in fails('segment', run, '--seg-labels', 'masks')
    assert 'no image has a true mask' in fails('segment', run, '--seg-labels', 'mixed')
    assert 'vwl pseudo-labels' in fails('segment', run, '--seg-steps', '9')
    assert 'train it: vwl irnet' in fails('pseudo-labels', run, '--walk-steps', '9')
    assert 'cuda' in fails('cams', run, '--scales', '1', '0.5', '--device', 'cuda:7')
    weights = run / 'segmentation' / 'weights.safetensors'
    weights.rename(run / 'moved')
    assert 'train it: vwl segment' in fails('predict', run, '--no-predict-flip')
    (run / 'moved').rename(weights)
    weights = run / 'classifier' / 'weights.safetensors'
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-9])
    assert 'damaged' in fails('cams', run, '--scales', '1', '0.5')
    weights.write_bytes(whole)
    assert contents(run) == before


def test_imported_maps(finished, run, tmp_path, capsys):
    "Other maps take away what was made of the old ones, and say so; the same maps once more change nothing."
    data, _ = finished
    main(['export-cams', str(run), '--out', str(tmp_path / 'npy'), '--workers', '0'])
    again = ['import-cams', str(data), '--out', str(run), '--cams', str(tmp_path / 'npy'), '--trust-pickles', *WHOLE]
    main(again)
    gone = 'seeds, irnet, pseudo_labels, segmentation, predictions'
    assert f'other maps than before; removed cams, {gone}' in capsys.readouterr().out
    assert not (run / 'metrics.json').exists() and not (run / 'report.html').exists()
    main(['seeds', str(run), '--workers', '0'])
    before = contents(run)
    main(again)
    assert contents(run) == before
    maps = next((run / 'cams').glob('*.npz'))
    maps.write_bytes(maps.read_bytes()[:-9])
    main(again)
    assert contents(run / 'cams') == {k[5:]: v for k, v in before.items() if k.startswith('cams/')}


def test_folders_of_others(run, fails, tmp_path):
    "Predictions and an exported network write into no folder that has other things, and remove nothing of others."
    photographs, out = tmp_path / 'photographs', tmp_path / 'out'
    photographs.mkdir()
    Image.new('RGB', (50, 31)).save(photographs / 'scene_00001.png')
    predict = ['predict', run, '--workers', '0', '--device', 'cpu', '--images']
    for file in 'metrics.json', 'report.html', 'cams/scene_00001.npz', 'seeds/cam/scene_00001.png':
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (out / file).write_text('mine')
    before = contents(out)
    main([str(a) for a in (*predict, photographs, '--out', out)])
    assert before.items() <= contents(out).items()
    other = Path(shutil.copytree(run, tmp_path / 'other'))
    for folder in other, other / 'predictions', run / 'new':
        assert 'folder of a run' in fails(*predict, photographs, '--out', folder)
    assert 'lies among the photographs' in fails(*predict, photographs / 'scene_00001.png', '--out', photographs)
    (tmp_path / 'theirs' / 'predictions').mkdir(parents=True)
    assert 'not by vwl predict' in fails(*predict, photographs, '--out', tmp_path / 'theirs')
    assert 'name folders' in fails(*predict, '', '--out', tmp_path / 'empty')
    for content in '{"my": 1}', '[]':
        (tmp_path / 'theirs' / 'config.json').write_text(content)
        assert 'has other files' in fails('export', run, '--out', tmp_path / 'theirs')


def test_a_photograph_with_another_suffix(run, tmp_path):
    "It has the name of one that was there, and gets a mask of its own."
    photographs = tmp_path / 'photographs'
    photographs.mkdir()
    predict = ['predict', str(run), '--images', str(photographs), '--out', str(tmp_path / 'out'), '--device', 'cpu']
    for name, size in ('a.jpg', (40, 30)), ('a.png', (30, 50)):
        for old in photographs.iterdir():
            old.unlink()
        Image.new('RGB', size).save(photographs / name)
        main([*predict, '--workers', '0'])
        assert Image.open(tmp_path / 'out' / 'predictions' / 'crf' / 'a.png').size == size


def test_lists_that_moved(data, run, tmp_path, fails):
    "A data set that moved takes its lists along; a list that is gone can be changed for another."
    lists = {}
    for name in 'train', 'val':
        (data / f'{name}.txt').write_text(''.join(f'scene_{i:05}\n' for i in range(8)))
        lists[name] = [f'--{name}-list', str(data / f'{name}.txt')]
    main(['run', str(data), '--out', str(tmp_path / 'new'), *WHOLE, *lists['train'], *lists['val']])
    before = contents(tmp_path / 'new')
    data.rename(tmp_path / 'moved')
    moved = [str(tmp_path / 'moved' / Path(word).name) if '/' in word else word for f in lists.values() for word in f]
    main(['run', str(tmp_path / 'moved'), '--out', str(tmp_path / 'new'), *WHOLE, *moved])
    changed = {k for k, v in contents(tmp_path / 'new').items() if before.get(k) != v}
    assert changed <= {'recipe.json', 'metrics.json', 'report.html', 'images.json'}
    (tmp_path / 'moved' / 'val.txt').unlink()
    assert 'no such list' in fails('evaluate', tmp_path / 'new', '--workers', '0')
    main(['predict', str(tmp_path / 'new'), '--val-list', '', '--workers', '0', '--device', 'cpu'])


def test_photographs_without_tags(finished, run, tmp_path):
    "Any folder, subfolders too: palette PNGs of the photographs' size, and pictures; the run stays as it is."
    before = contents(run)
    (tmp_path / 'photos' / 'more').mkdir(parents=True)
    Image.new('RGB', (50, 31)).save(tmp_path / 'photos' / 'a.jpg')
    Image.new('L', (9, 120), 77).save(tmp_path / 'photos' / 'more' / 'b.png')
    for crf, kind in (('deeplab', 'crf'), ('none', 'network')):
        main(
            [
                'predict',
                str(run),
                '--images',
                str(tmp_path / 'photos'),
                '--out',
                str(tmp_path / crf),
                '--predict-crf',
                crf,
                '--predict-flip',
                'True',
                '--workers',
                '0',
                '--device',
                'cpu',
            ]
        )
        masks = [Image.open(tmp_path / crf / 'predictions' / kind / f'{n}.png') for n in ('a', 'more/b')]
        assert [(m.size, m.mode) for m in masks] == [((50, 31), 'P'), ((9, 120), 'P')] and (
            tmp_path / crf / 'predictions' / 'overlay' / 'more' / 'b.jpg'
        ).exists()
    assert not (tmp_path / 'none' / 'predictions' / 'crf').exists() and contents(run) == before


def test_instances(finished, tmp_path):
    data, _ = finished
    main(['run', str(data), '--out', str(tmp_path / 'run'), *WHOLE, '--until', 'pseudo-labels', '--irn-displacement'])
    found = np.load(tmp_path / 'run' / 'pseudo_labels' / 'instances' / 'scene_00003.npz')
    assert found['masks'].shape == (96, 96) and found['masks'].max() == len(found['keys']) == len(found['scores'])
    assert not (tmp_path / 'run' / 'segmentation').exists()


def test_seeds_as_labels(finished, tmp_path, capsys):
    "DeepLabV2 straight from the CRF's seeds of images that are not scored: no IRNet."
    data, _ = finished
    (tmp_path / 'few.txt').write_text('scene_00001\nscene_00002\n')
    main(
        [
            'run',
            str(data),
            '--out',
            str(tmp_path / 'run'),
            *WHOLE,
            '--seg-labels',
            'crf',
            '--predict-crf',
            'none',
            '--score-list',
            str(tmp_path / 'few.txt'),
        ]
    )
    assert 'learned from CRF seeds' in capsys.readouterr().out and not (tmp_path / 'run' / 'irnet').exists()


def test_predicted_tags(run):
    main(['cams', str(run), '--tags', 'predicted', '--tag-threshold', '0', '--device', 'cpu'])
    main(['seeds', str(run), '--crf', 'none', '--workers', '0'])
    keys = np.load(run / 'cams' / 'scene_00000.npz')['keys']
    assert keys.tolist() == [1, 2, 3, 4, 5, 6] and not (run / 'seeds' / 'crf').exists()


def test_voc_layout(tmp_path):
    "VOC's folders and ids, with two of its classes chosen: the others become background, 255 stays."
    for folder in 'JPEGImages', 'SegmentationClassAug', 'ImageSets/Segmentation':
        (tmp_path / folder).mkdir(parents=True)
    Image.new('RGB', (6, 4)).save(tmp_path / 'JPEGImages' / '2007_000032.jpg')
    mask = Image.fromarray(np.array([[0, 8, 12, 15, 255, 0]] * 4, np.uint8))
    mask.putpalette([0] * 768)
    mask.save(tmp_path / 'SegmentationClassAug' / '2007_000032.png')
    (tmp_path / 'tags.csv').write_text('image,tags\n2007_000032.jpg,cat dog person\n')
    (tmp_path / 'ImageSets/Segmentation/train.txt').write_text('2007_000032\n')
    images = read_folder(tmp_path, ('dog', 'cat'), 'ImageSets/Segmentation/train.txt')
    assert (
        images.mask(0)[0].tolist() == [0, 2, 1, 0, 255, 0]
        and images.labels.tolist() == [[1, 1]]
        and images.names == ('2007_000032',)
    )


def test_one_command_at_a_time(finished, tmp_path, fails):
    "The second in a folder says so; after a kill the folder is free, and a refused command leaves nothing."
    data, _ = finished
    command = [sys.executable, '-m', 'vwl', 'run', str(data), '--out', str(tmp_path / 'run'), *WHOLE, '--epochs', '30']
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (tmp_path / 'run' / 'recipe.json').exists() and first.poll() is None:
        time.sleep(0.02)
    assert 'another command is at work there' in fails('seeds', tmp_path / 'run', '--workers', '0')
    assert 'another command is at work there' in fails('run', data, '--out', tmp_path / 'run', *WHOLE)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert 'no maps yet' in fails('seeds', tmp_path / 'run', '--workers', '0')
    assert (
        'no such folder' in fails('run', tmp_path / 'nowhere', '--out', tmp_path / 'new', *WHOLE)
        and not (tmp_path / 'new').exists()
    )


def test_flipped_bits(finished, tmp_path, capsys):
    """Any file that a run made, with one bit flipped: named, made again, and the run ends with the files of one that
    wasn't harmed.
    """
    data, run = finished
    harmed = shutil.copytree(run, tmp_path / 'run')
    rng = random.Random(0)
    files = [
        p
        for d in ('classifier', 'cams', 'seeds', 'irnet', 'pseudo_labels', 'segmentation', 'predictions')
        for p in rng.sample(
            sorted(q for q in (harmed / d).rglob('*.*') if q.name != 'manifest.json' and 'overlay' not in q.parts), 2
        )
    ]
    for p in files:
        data_ = bytearray(p.read_bytes())
        data_[rng.randrange(len(data_))] ^= 1 << rng.randrange(8)
        p.write_bytes(data_)
    main(['run', str(data), '--out', str(harmed), *WHOLE])
    out = capsys.readouterr().err
    for p in files:
        assert f'{p}: damaged since it was written' in out or p.name == 'history.json', p
    after, before = contents(harmed), contents(run)
    assert {k for k in before if k != 'report.html' and after.get(k) != before[k]} == set()
