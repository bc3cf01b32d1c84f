"""Settings that are chosen for a folder and a machine: plain values in `recipe.json`, told before the start, with flags
before rules, and the same when the command is given again.
"""

import json
import os
import shutil
import pytest
from vwl.apps.arguments import parse
from vwl.apps.cli import main
from vwl.apps.commands import choose_settings, machine_of, workers_of
from vwl.data.datasets import DataSet, write_dataset
from vwl.data.images import read_folder
from vwl.engine.settings import preset
from vwl.engine.processes import has_bfloat16
from vwl.stages.choices import AMOUNTS, Facts, choose, facts_of
from vwl.stages.run import open_run
from conftest import WHOLE_SETTINGS

CPU = ['--workers', '0', '--device', 'cpu']
NEW = ['--backbone', 'small', '--weights', 'none', '--epochs', '1', '--scales', '1', '--until', 'seeds', *CPU]


def chosen(*argv):
    "The settings of a command, chosen if it has an own folder."
    argv = [str(a) for a in argv]
    return choose_settings(parse(argv), argv)


def test_chosen_told_and_stored(data, tmp_path, capsys):
    main([str(a) for a in ['run', data, '--out', tmp_path / 'run', *NEW]])
    said = [line for line in capsys.readouterr().out.splitlines() if 'few images, which are hard to learn' not in line]
    images = read_folder(data)
    assert said[0].startswith(f'{len(images)} photographs of {len(images.classes)} classes, 96 pixels, no GPU')
    assert any(line.startswith('about ') and 'Classifier' in line and 'Seeds' in line for line in said)
    assert any(line.strip().startswith('--quality good: about') for line in said)
    assert f'numbers in the masks: 0 background, 1 {images.classes[0]}, ' in '\n'.join(said)
    stored = json.loads((tmp_path / 'run' / 'recipe.json').read_text())
    facts = facts_of(images, gpu=False, bfloat16=has_bfloat16())
    assert (stored['quality'], stored['facts']) == ('fast', vars(facts))
    rules = choose(facts, backbone='small', weights='none').recipe
    assert open_run(tmp_path / 'run').recipe == rules.changed(epochs=1, scales=(1.0,))  # flags come first


def test_goes_on_as_it_began(data, tmp_path, capsys, fails):
    out = ['--out', str(tmp_path / 'run')]
    main(['run', str(data), *out, *NEW])
    before = open_run(tmp_path / 'run').recipe
    capsys.readouterr()
    main(['run', str(data), *out, '--until', 'seeds', *CPU])
    assert open_run(tmp_path / 'run').recipe == before
    assert 'photographs of' not in capsys.readouterr().out
    assert 'is a run of another recipe' in fails('run', data, *out, *NEW, '--quality', 'good')


def test_out_is_named_after_the_quality(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(data, 'birds')
    main(['run', 'birds', *NEW])
    assert (tmp_path / 'runs' / 'birds-fast' / 'seeds' / 'crf').is_dir()


def test_recipes_stay_what_they_are(data, fails):
    assert chosen('run', data, '--recipe', 'paper').settings == preset('paper')
    assert chosen('run', data, '--quality', 'paper').settings == preset('paper')
    assert 'give one of them' in fails('run', data, '--recipe', 'toy', '--quality', 'fast')


def test_prepared_sets_keep_the_paper(data):
    (data / 'train.txt').write_text('\n'.join(read_folder(data).names))
    write_dataset(data, DataSet('voc', dict(train_list='train.txt')))
    args = chosen('run', data)
    assert (args.recipe, args.choice) == ('paper', None)
    assert args.settings == preset('paper', train_list='train.txt')
    fast = chosen('run', data, '--quality', 'fast').settings
    assert (fast.images.train_list, fast.network.backbone) == ('train.txt', 'mobilenet_v2')


def test_flags_that_rules_depend_on(data):
    args = chosen('run', data, '--backbone', 'resnet50', '--weights=none', '--words', 'memory', *CPU)
    recipe = args.settings
    assert recipe.segmentation.backbone == recipe.irnet.backbone == 'resnet50'
    assert (recipe.network.weights, recipe.words.kind, recipe.network.freeze_batchnorm) == (
        'none',
        'memory',
        False,
    )


def test_masks_are_looked_at_first(data, tmp_path, fails, capsys):
    own = tmp_path / 'own'
    shutil.copytree(data, own)
    for path in (own / 'masks').iterdir():
        path.write_bytes(b'no mask')
    assert 'own/masks' in fails('run', own, '--out', tmp_path / 'run', *NEW)
    assert 'about' not in capsys.readouterr().out


def test_unreadable_images_are_named_together(data, tmp_path, fails):
    "Before anything is trained, not one an hour."
    images = sorted((data / 'images').iterdir())
    for path in (images[1], images[5]):
        path.write_text('no image')
    line = fails('run', data, '--out', tmp_path / 'run', *NEW)
    assert line.startswith('vwl: 2 of 24 images') and images[1].name in line and images[5].name in line
    assert not (tmp_path / 'run' / 'classifier').exists()


@pytest.mark.parametrize('quality, gpu', AMOUNTS)
@pytest.mark.parametrize('images, classes, side', [(2, 2, 20), (60, 3, 4032), (392, 14, 320), (100_000, 300, 1024)])
def test_any_folder_gets_settings(quality, gpu, images, classes, side):
    recipe = choose(Facts(images, classes, side, gpu), quality).recipe
    batches = recipe.training.batch_size, recipe.irnet.batch_size, recipe.segmentation.batch_size
    assert max(batches) <= images
    assert recipe.training.long_side[0] <= recipe.training.long_side[1]
    assert 64 <= recipe.training.crop <= 512


def test_whole_road(data, tmp_path, capsys):
    "To the trained segmenter, with what is left for the rules to choose."
    main([str(a) for a in ['run', data, '--out', tmp_path / 'run', *NEW[:-6], *WHOLE_SETTINGS, *CPU]])
    run = open_run(tmp_path / 'run')
    assert (run.folder / 'predictions').is_dir() and run.network('segmentation').exists()


def test_no_more_processes_than_cores(data, monkeypatch):
    "Chosen settings and named ones alike; several processes on one machine share its cores."
    for argv in (['run', data], ['run', data, '--recipe', 'toy'], ['train', data, '--workers', '10000']):
        args = chosen(*argv)
        assert workers_of(args) == machine_of(args).workers == min(args.machine.workers, os.cpu_count())
    monkeypatch.setattr(os, 'cpu_count', lambda: 8)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    assert workers_of(args) == 2
    assert workers_of(chosen('run', data, '--workers', '1')) == 1
