"Bad input: handled, or one clear line that names the file and what to do; finished work is kept."

import json
import shutil
import subprocess
import sys
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from vwl.apps.cli import main
from conftest import SMALL, TINY, WHOLE


def begin(data, tmp_path):
    return ['run', data, '--out', tmp_path / 'new', *TINY]


def first_image(data):
    return sorted((data / 'images').iterdir())[3]


@pytest.mark.parametrize(
    'spoil, message',
    [
        (lambda p: p.unlink(), 'no such image'),
        (lambda p: p.write_bytes(p.read_bytes()[:200]), 'not a readable image'),
        (lambda p: p.write_bytes(b''), 'not a readable image'),
        (lambda p: p.write_text('<html>not found</html>'), 'not a readable image'),
    ],
    ids=['missing', 'truncated', 'empty', 'no image'],
)
def test_images_refused(data, tmp_path, fails, spoil, message):
    image = first_image(data)
    spoil(image)
    line = fails(*begin(data, tmp_path))
    assert image.name in line and message in line and 'remove its row' in line


@pytest.mark.parametrize(
    'change',
    [
        lambda im: im.convert('L'),
        lambda im: im.convert('RGBA'),
        lambda im: im.convert('P'),
        lambda im: im.convert('1'),
        lambda im: Image.fromarray(np.asarray(im.convert('L')).astype(np.uint16) * 257),
        lambda im: im.resize((1, 96)),
        lambda im: im.resize((300, 20)),
    ],
    ids=['grey', 'RGBA', 'palette', 'one bit', '16 bit', '1 pixel wide', 'a strip'],
)
def test_images_handled(data, tmp_path, change):
    path = first_image(data)
    changed = change(Image.open(path))
    changed.save(path)
    mask = data / 'masks' / path.name
    Image.open(mask).resize(changed.size, Image.Resampling.NEAREST).save(mask)
    main([str(a) for a in begin(data, tmp_path)])
    assert Image.open(tmp_path / 'new' / 'seeds' / 'crf' / path.name).size == changed.size


def test_jpegs_handled(data, tmp_path):
    "CMYK, and a photograph that lies on its side: the mask is that of the upright one."
    (a, b), table = sorted((data / 'images').iterdir())[:2], data / 'tags.csv'
    image = Image.open(a).convert('CMYK')
    image.save(a.with_suffix('.jpg'))
    a.unlink()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(b).crop((0, 0, 96, 60)).save(b.with_suffix('.jpg'), exif=exif)
    b.unlink()
    Image.open(data / 'masks' / b.name).resize((60, 96), Image.Resampling.NEAREST).save(data / 'masks' / b.name)
    table.write_text(
        table.read_text().replace(a.name, a.with_suffix('.jpg').name).replace(b.name, b.with_suffix('.jpg').name)
    )
    main([str(x) for x in begin(data, tmp_path)])
    assert Image.open(tmp_path / 'new' / 'seeds' / 'cam' / b.name).size == (60, 96)


@pytest.mark.parametrize(
    'edit, message',
    [
        (lambda t: t.replace('image,tags', 'file,label'), 'the first line must name the columns image and tags'),
        (lambda t: t + t.splitlines()[1] + '\n', 'is listed twice'),
        (lambda t: t + '../secret.png,\n', 'leads out of the folder'),
        (lambda t: t + '/etc/x.png,\n', 'leads out of the folder'),
        (lambda t: t + 'more.png,unicorn\n', "'unicorn', which no class has"),
        (lambda t: t.splitlines()[0], 'has no rows'),
    ],
    ids=['header', 'twice', 'outside', 'absolute', 'unknown tag', 'empty'],
)
def test_tags_refused(data, tmp_path, fails, edit, message):
    (data / 'tags.csv').write_text(edit((data / 'tags.csv').read_text()))
    line = fails(*begin(data, tmp_path))
    assert 'tags.csv' in line and message in line


def test_tags_handled(data, tmp_path):
    "Windows line ends, a byte order mark, an image without tags."
    rows = (data / 'tags.csv').read_text().splitlines()
    rows[1] = rows[1].split(',')[0] + ','
    (data / 'tags.csv').write_bytes(b'\xef\xbb\xbf' + '\r\n'.join(rows).encode())
    main([str(a) for a in begin(data, tmp_path)])
    assert not np.asarray(Image.open(tmp_path / 'new' / 'seeds' / 'crf' / rows[1].strip(','))).any()


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda im: im.resize((50, 96)), 'the mask is 50x96 and its image 96x96'),
        (lambda im: im.point(lambda v: 77), 'has id 77'),
        (lambda im: im.convert('RGB'), 'mode RGB'),
    ],
    ids=['size', 'id', 'colours'],
)
def test_masks_refused(data, tmp_path, fails, change, message):
    mask = sorted((data / 'masks').iterdir())[3]
    change(Image.open(mask)).save(mask)
    line = fails(*begin(data, tmp_path))
    assert mask.name in line and message in line
    assert not (tmp_path / 'new' / 'classifier').exists()  # before anything is trained


def test_weights_of_another_network(finished, tmp_path, fails):
    weights = finished[1] / 'classifier' / 'weights.safetensors'
    line = fails(
        'run', finished[0], '--out', tmp_path / 'new', *TINY, '--backbone', 'mobilenet_v2', '--weights', weights
    )
    assert 'weights.safetensors' in line and 'belongs to another network' in line


def test_run_of_another_recipe(finished, run, fails):
    line = fails('run', finished[0], '--out', run, *WHOLE, '--gamma', '3')
    assert 'another recipe (gamma 2.0 -> 3.0)' in line and '--out' in line


def test_changed_data(data, tmp_path, fails):
    main([str(a) for a in ['train', data, '--out', tmp_path / 'new', *SMALL]])
    rows = (data / 'tags.csv').read_text().splitlines()
    (data / 'tags.csv').write_text('\n'.join([*rows[:-1], rows[-1].split(',')[0] + ',']))
    line = fails(*begin(data, tmp_path))
    assert 'data set has changed' in line and line.count('tags') == 1 and 'files of' not in line


def test_another_image_of_that_name(data, tmp_path, fails):
    main([str(a) for a in ['train', data, '--out', tmp_path / 'new', *SMALL]])
    Image.new('RGB', (96, 96)).save(data / 'images' / 'scene_00003.png')
    assert ': files of the images to learn from: images/scene_00003.png)' in fails(*begin(data, tmp_path))


@pytest.mark.parametrize(
    'file',
    [
        'cams/scene_00004.npz',
        'seeds/crf/scene_00004.png',
        'recipe.json',
        'classifier/weights.safetensors',
        'irnet/weights.safetensors',
        'pseudo_labels/scene_00004.png',
        'segmentation/weights.safetensors',
        'predictions/crf/scene_00004.png',
    ],
)
@pytest.mark.parametrize('cut', [0, 100])
def test_damaged_files(run, fails, file, cut):
    (run / file).write_bytes((run / file).read_bytes()[:cut])
    lose, command = next(
        (lose, command)
        for name, lose, command in (
            ('cams', 'seeds/cam/scene_00004.png', 'seeds'),
            ('classifier', 'cams/scene_00004.npz', 'cams'),
            ('irnet', 'pseudo_labels/scene_00004.png', 'pseudo-labels'),
            ('pseudo', 'segmentation/weights.safetensors', 'segment'),
            ('segmentation', 'predictions/network/scene_00004.png', 'predict'),
            ('', 'report.html', 'evaluate'),
        )
        if name in file
    )
    (run / lose).unlink()
    assert file.split('/')[-1] in fails(command, run, '--workers', '0', '--device', 'cpu')


def test_damaged_checkpoint(finished, run, fails):
    (run / 'classifier/weights.safetensors').unlink()
    (run / 'classifier/checkpoint.safetensors').write_bytes(b'\0' * 50)
    assert 'checkpoint.safetensors: not a readable checkpoint' in fails('run', finished[0], '--out', run, *WHOLE)


@pytest.mark.parametrize('stage, command', [('irnet', 'irnet'), ('segmentation', 'segment')])
def test_damaged_later_checkpoint(run, fails, stage, command):
    (run / stage / 'weights.safetensors').unlink()
    (run / stage / 'checkpoint.safetensors').write_bytes(b'\0' * 50)
    assert f'{stage}/checkpoint.safetensors: not a readable checkpoint' in fails(
        command, run, '--workers', '0', '--device', 'cpu'
    )


def test_maps_of_another_image(run, fails):
    (run / 'cams' / 'manifest.json').unlink()  # else its sum says that it was changed
    z = dict(np.load(run / 'cams' / 'scene_00002.npz'))
    z['size'] = np.int32([50, 60])
    z['cam'] = z['cam'][:, :13, :15]
    np.savez_compressed(run / 'cams' / 'scene_00002.npz', **z)
    shutil.rmtree(run / 'seeds')
    line = fails('seeds', run, '--workers', '0', '--device', 'cpu')
    assert 'scene_00002.npz: CAMs of a 60x50 image, but the image is 96x96' in line and 'vwl cams' in line


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda im: im.point(lambda v: 9), 'scene_00004.png: has id 9, but ids go from 0 to 6'),
        (lambda im: im.resize((50, 96)), 'scene_00004.png: is 96x96, but its label 50x96'),
        (lambda im: Image.new('RGB', im.size, 'red'), 'scene_00004.png: a mask must be a palette'),
        (None, 'scene_00004.png: not there yet (1 missing in all); make them: vwl pseudo-labels'),
    ],
    ids=['id', 'size', 'colours', 'missing'],
)
def test_pseudo_labels_refused(run, fails, change, message):
    path = run / 'pseudo_labels' / 'scene_00004.png'
    (run / 'pseudo_labels' / 'manifest.json').unlink()  # else its sum says that it was changed
    if change:
        change(Image.open(path)).save(path)
    else:
        path.unlink()
    (run / 'segmentation' / 'weights.safetensors').unlink()
    assert message in fails('segment', run, '--seg-steps', '30', '--workers', '0', '--device', 'cpu')


def test_network_of_other_classes(finished, run, tmp_path, fails):
    main(['run', str(finished[0]), '--out', str(tmp_path / 'two'), *WHOLE, '--classes', 'fox', 'owl'])
    shutil.copy(tmp_path / 'two' / 'segmentation' / 'weights.safetensors', run / 'segmentation')
    (run / 'segmentation' / 'manifest.json').unlink()
    shutil.rmtree(run / 'predictions')
    assert 'a network for 3 classes with background, but here are 7' in fails(
        'predict', run, '--workers', '0', '--device', 'cpu'
    )


def test_stages_out_of_order(finished, tmp_path, fails):
    main(['train', str(finished[0]), '--out', str(tmp_path / 'new'), *SMALL])
    for command, message in (
        ('predict', 'train it: vwl segment'),
        ('segment', 'make them: vwl pseudo-labels'),
        ('pseudo-labels', 'train it: vwl irnet'),
        ('evaluate', 'nothing was made that can be scored'),
    ):
        assert message in fails(command, tmp_path / 'new', '--workers', '0', '--device', 'cpu')


@pytest.mark.parametrize(
    'argv, message',
    [
        (['--images', 'empty'], '--images and --out belong together'),
        (['--images', 'empty', '--out', 'masks'], 'empty: has no images'),
        (['--images', 'nowhere', '--out', 'masks'], 'nowhere: no such folder'),
        (['--val-list', 'none.txt'], 'none.txt: no such list of images'),
        (['--images', 'photos', '--out', 'photos/masks'], 'lies among the photographs'),
        (['--images', 'photos', '--out', 'masks'], 'masks: has masks of another network'),
    ],
)
def test_predict_refused(run, fails, tmp_path, monkeypatch, argv, message):
    for folder in 'empty', 'photos', 'masks':
        (tmp_path / folder).mkdir()
    Image.new('RGB', (8, 8)).save(tmp_path / 'photos' / 'a.png')
    (tmp_path / 'masks' / 'made_by.json').write_text('"other"')
    monkeypatch.chdir(tmp_path)
    before = {p for p in run.rglob('*')}
    assert message in fails('predict', run, *argv, '--workers', '0', '--device', 'cpu')
    assert before == {p for p in run.rglob('*')}


def test_no_masks_to_learn_from(data, tmp_path, fails):
    shutil.rmtree(data / 'masks')
    assert 'no image has a true mask' in fails(
        'run', data, '--out', tmp_path / 'new', *WHOLE, '--seg-labels', 'masks', '--seg-weights', 'none'
    )


def test_classifier_of_another_backbone(run, fails):
    (run / 'segmentation' / 'weights.safetensors').unlink()
    assert 'belongs to another network' in fails(
        'segment', run, '--seg-backbone', 'mobilenet_v2', '--workers', '0', '--device', 'cpu'
    )


def test_few_images(data, tmp_path, fails):
    assert "24 images don't fill a batch of 64" in fails(*begin(data, tmp_path), '--batch-size', '64')


def test_contact_sheet(data, tmp_path, fails, monkeypatch, capsys):
    "It lies beside the folder, also for a command in the folder; another name than that of a picture is refused."
    for place, folder in (data, '.'), (data / 'images', '..'), (tmp_path, data):
        monkeypatch.chdir(place)
        main(['check', str(folder), '--workers', '0'])
        assert 'without a row' not in capsys.readouterr().out
        (tmp_path / f'{data.name}-sheet.jpg').unlink()
    for name in 'sheet.txt', '.', 'sheet':
        assert 'give such a name with --sheet' in fails('check', data, '--sheet', name, '--workers', '0')


def test_no_masks(data, tmp_path, fails, capsys):
    shutil.rmtree(data / 'masks')
    main([str(a) for a in begin(data, tmp_path)])
    assert 'no true masks' in capsys.readouterr().out
    assert f'{data / "masks"}: has no masks' in fails('evaluate', tmp_path / 'new', '--workers', '0')


@pytest.mark.parametrize(
    'argv, message',
    [
        (['run', 'nowhere', '--out', 'x'], 'nowhere: no such folder'),
        (['seeds', 'nowhere'], 'nowhere: no run there'),
        (['run', '.', '--out', 'x', '--tau', '0'], 'tau must be a finite number, above 0, not 0'),
        (
            ['run', '.', '--out', 'x', '--seg-labels', 'crf', '--crf', 'none'],
            'segmentation.labels must be cam, pseudo, mixed or masks where crf is none',
        ),
        (['run', '.', '--out', 'x', '--device', 'tpu'], 'tags.csv: no such file'),
    ],
)
def test_command_line(fails, argv, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in fails(*argv)


def test_without_crf_library(data, tmp_path):
    "The dense CRF needs no library; the one that can be asked for says how to get it where it is not there."
    block = "import sys; sys.modules['pydensecrf'] = None; from vwl.apps.cli import main; main(sys.argv[1:])"

    def go(*more):
        return subprocess.run(
            [sys.executable, '-c', block, *map(str, begin(data, tmp_path)), *more], capture_output=True, text=True
        )

    assert go().returncode == 0
    assert 'crf' in json.loads((tmp_path / 'new' / 'metrics.json').read_text())
    shutil.rmtree(tmp_path / 'new')
    stopped = go('--crf-engine', 'pydensecrf')
    assert stopped.returncode == 1 and "pip install 'vwl[pydensecrf]'" in stopped.stderr
    assert 'Traceback' not in stopped.stderr and '--crf-engine torch' in stopped.stderr


def test_bad_image_in_a_worker(data, tmp_path, fails):
    "A loader process's error is one line too."
    image = first_image(data)
    image.write_text('no image')
    assert image.name in fails(*begin(data, tmp_path), '--workers', '2')


def test_advice_can_be_followed(data, tmp_path, fails):
    "A command that failed before anything was made leaves nothing that stands in the way of the corrected one."
    fails(*begin(data, tmp_path), '--batch-size', '64')
    main([str(a) for a in begin(data, tmp_path)])


def test_moved_data(data, tmp_path, fails):
    main([str(a) for a in begin(data, tmp_path)])
    made = {p for p in (tmp_path / 'new').rglob('*')}
    moved = data.rename(tmp_path / 'moved')
    assert 'no longer there' in fails('seeds', tmp_path / 'new', '--threshold', '.3')
    assert made == {p for p in (tmp_path / 'new').rglob('*')}  # nothing was lost
    main([str(a) for a in ['run', moved, *begin(data, tmp_path)[2:]]])
    main(['seeds', str(tmp_path / 'new'), '--threshold', '.3', '--workers', '0'])


def test_some_masks(data, tmp_path, capsys):
    for mask in sorted((data / 'masks').iterdir())[10:]:
        mask.unlink()
    main([str(a) for a in begin(data, tmp_path)])
    assert 'mIoU on 10 of 24 images' in capsys.readouterr().out


@pytest.mark.parametrize(
    'field, value',
    [
        ('gamma', '2'),
        ('gamma', None),
        ('scales', 1),
        ('long_side', [40]),
        ('seed', 'a'),
        ('flip', 'yes'),
        ('epochs', 2.5),
        ('new', 1),
    ],
)
def test_recipe_edited_by_hand(run, fails, field, value):
    stored = json.loads((run / 'recipe.json').read_text())
    held = [values for values in stored['recipe'].values() if field in values]
    (held or [stored['recipe']])[0][field] = value
    (run / 'recipe.json').write_text(json.dumps(stored))
    assert 'recipe.json' in (line := fails('evaluate', run, '--workers', '0')) and field in line


@pytest.mark.parametrize('content', ['[]', '{}', '{"recipe": null}', '{"recipe": {}, "data": {}}'])
def test_recipe_of_nothing(run, fails, content):
    (run / 'recipe.json').write_text(content)
    assert 'recipe.json: not the recipe of a run' in fails('evaluate', run, '--workers', '0')


@pytest.mark.parametrize('where, value', [(('versions',), []), (('data', 'classes'), None)])
def test_recipe_with_a_wrong_part(run, fails, where, value):
    stored = json.loads((run / 'recipe.json').read_text())
    group = stored
    for name in where[:-1]:
        group = group[name]
    group[where[-1]] = value
    (run / 'recipe.json').write_text(json.dumps(stored))
    assert 'recipe.json: not the recipe of a run' in fails('evaluate', run, '--workers', '0')


def test_weights_that_are_no_numbers(run, tmp_path, fails):
    weights = run / 'segmentation' / 'weights.safetensors'
    save_file({k: v * float('nan') if v.is_floating_point() else v for k, v in load_file(weights).items()}, weights)
    (run / 'segmentation' / 'manifest.json').unlink(missing_ok=True)
    for log in (run / 'segmentation').glob('sums.*'):
        log.unlink()
    argv = ['--images', run.parent / 'scenes' / 'images', '--out', tmp_path / 'out', '--workers', '0']
    (run.parent / 'scenes' / 'images').mkdir(parents=True)
    Image.new('RGB', (40, 30)).save(run.parent / 'scenes' / 'images' / 'a.png')
    assert 'no finite numbers' in fails('predict', run, *argv)


def test_large_photograph(data, tmp_path):
    "Maps are made at a working size; masks have the photograph's."
    path = first_image(data)
    for p in path, data / 'masks' / path.name:
        Image.open(p).resize((960, 960), Image.Resampling.NEAREST).save(p)
    main([str(a) for a in [*begin(data, tmp_path), '--cam-long-side', '120']])
    assert Image.open(tmp_path / 'new' / 'seeds' / 'crf' / path.name).size == (960, 960)
    assert np.load(tmp_path / 'new' / 'cams' / f'{path.stem}.npz')['size'].tolist() == [120, 120]


@pytest.mark.parametrize('name', ['WORLD_SIZE', 'LOCAL_WORLD_SIZE'])
def test_environment_that_torchrun_did_not_set(data, tmp_path, fails, monkeypatch, name):
    monkeypatch.setenv(name, 'two')
    assert f"{name} is 'two' in the environment" in fails(*begin(data, tmp_path))


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='memory is measured in /proc')
def test_spoiled_files_of_every_kind(tmp_path):
    "A few spoiled files of each kind that the package reads; the script's stored result is of a thousand."
    script = Path(__file__).parents[1] / 'tests' / 'fuzz' / 'fuzz_readers.py'
    done = subprocess.run(
        [sys.executable, script, '--count', '25', '--out', tmp_path / 'fuzz.json'], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    kinds = json.loads((tmp_path / 'fuzz.json').read_text())['kinds']
    assert len(kinds) > 25 and all(k['files'] == 25 and k['read'] for k in kinds.values())
