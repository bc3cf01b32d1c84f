"""A person's own folder: tables, names, masks and files as people and their tools leave them. Each is read as it is
meant, or refused before anything is trained, with what to do.
"""

import errno
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
from vwl.apps import cli
from vwl.apps.cli import main
from vwl.data.datasets import read_dataset
from vwl.data.images import read_folder
from vwl.engine.arrays import load_label, save_label, voc_palette
from vwl.engine.files import at_work
from vwl.errors import InputError
from vwl.models.backbone import build_backbone
from vwl.models.weights import read_weights
from vwl.stages.run import open_run
from conftest import SMALL, TINY, WHOLE

CPU = ['--workers', '0', '--device', 'cpu']


def begin(data, tmp_path, *more):
    return [str(a) for a in ['run', data, '--out', tmp_path / 'new', *TINY, *more]]


def masks_of(data):
    return sorted((data / 'masks').iterdir())


def rows_of(data):
    "(file, tags) of each row of the table."
    lines = (data / 'tags.csv').read_text().splitlines()[1:]
    return [(file, tags.split()) for file, tags in (line.split(',') for line in lines)]


def write_rows(data, rows, cell):
    "Write the table with another form of a cell of tags."
    quoted = ((file, cell(tags).replace('"', '""')) for file, tags in rows)
    (data / 'tags.csv').write_text('image,tags\n' + ''.join(f'{file},"{text}"\n' for file, text in quoted))


# masks that contradict the tags


def as_255(mask, n):
    return np.where(mask % 255, 255, 0).astype(np.uint8)


def shifted(mask, n):
    return np.where((mask > 0) & (mask < 255), mask % n + 1, mask).astype(np.uint8)


def two_exchanged(mask, n):
    table = np.arange(256, dtype=np.uint8)
    table[[1, 2]] = 2, 1
    return table[mask]


@pytest.mark.parametrize(
    'change, message',
    [
        (as_255, '255 seems to be the object'),
        (shifted, 'the ids of the masks are not in the order of the classes'),
        (two_exchanged, 'id 1, 2, ... are frog fox lion owl penguin rabbit'),
        (lambda mask, n: np.zeros_like(mask), 'no mask shows any class, though the images have tags'),
    ],
)
def test_masks_against_tags(data, tmp_path, fails, change, message):
    for path in masks_of(data):
        save_label(path, change(load_label(path), 6))
    for more in [], ['--seg-labels', 'masks']:
        assert message in fails(*begin(data, tmp_path, *more))
        assert not (tmp_path / 'new' / 'classifier').exists()
        assert not (tmp_path / 'new' / 'segmentation').exists()
    errors = fails('check', data, '--sheet', tmp_path / 'sheet.jpg').split(': ')[2].split(' ')[0]
    assert int(errors) == (24 if change is as_255 else 1)


def test_masks_are_looked_at_before_scoring(run, data, fails):
    for path in masks_of(data):
        save_label(path, as_255(load_label(path), 6))
    stored = json.loads((run / 'recipe.json').read_text())
    stored['data']['folder'] = str(data)
    (run / 'recipe.json').write_text(json.dumps(stored))
    assert '255 seems to be the object' in fails('evaluate', run, *CPU)


def test_some_masks_are_doubtful(data, tmp_path, capsys):
    "A few masks of 0 and 255 are told in a line, and the run goes on."
    for path in masks_of(data)[:3]:
        save_label(path, as_255(load_label(path), 6))
    main(begin(data, tmp_path))
    assert 'warning' in (said := capsys.readouterr().out) and 'masks of 0 and 255 (void) alone' in said


def test_classes_of_labelme(data):
    "`_background_` and `__ignore__` at the top are no classes."
    known = read_folder(data)
    for head in ('_background_', '__ignore__'), ('__ignore__', '_background_'), ('background',):
        (data / 'classes.txt').write_text('\n'.join([*head, *known.classes]))
        images = read_folder(data)
        assert images.classes == known.classes and (images.mask(3) == known.mask(3)).all()


def test_coloured_masks(data, fails, tmp_path):
    known = read_folder(data)
    truth = [known.mask(i) for i in range(len(known))]
    for path in masks_of(data):
        Image.open(path).convert('RGB').save(path)
    assert 'labelmap.txt' in fails(*begin(data, tmp_path)) and not (tmp_path / 'new' / 'classifier').exists()
    colours = [','.join(map(str, c)) for c in voc_palette()[: len(known.classes) + 1]]
    lines = [f'{name}:{colour}::' for name, colour in zip(('background', *known.classes), colours)]
    (data / 'labelmap.txt').write_text('# label:color_rgb:parts:actions\n' + '\n'.join(lines))
    images = read_folder(data)
    assert all((images.mask(i) == mask).all() for i, mask in enumerate(truth))


def test_grey_levels_are_named(data, fails, tmp_path):
    for path in masks_of(data):
        Image.open(path).convert('RGB').convert('L').save(path)
    assert "grey levels of VOC's colours" in fails(*begin(data, tmp_path))


# files made of an image that has changed


def test_changed_photograph(finished, tmp_path):
    "A photograph of the validation list gets another in its place: its masks are made again, the others kept."
    data, run = Path(shutil.copytree(finished[0], tmp_path / 'scenes')), tmp_path / 'run'
    names = [file.partition('.')[0] for file, _ in rows_of(data)]
    (data / 'learn.txt').write_text('\n'.join(names[:20]))
    (data / 'val.txt').write_text('\n'.join(names[20:]))
    begun = ['run', str(data), '--out', str(run), *WHOLE, '--train-list', 'learn.txt', '--val-list', 'val.txt']
    main(begun)
    paths = [open_run(run).prediction_path('crf', name) for name in names[20:]]
    before = [p.stat().st_mtime_ns for p in paths]
    image = data / 'images' / f'{names[21]}.png'
    shutil.copy(data / 'images' / f'{names[3]}.png', image)
    os.utime(data / 'images' / f'{names[22]}.png', (1, 1))  # another time, the same bytes
    main(['predict', str(run), *CPU])
    after = [p.stat().st_mtime_ns for p in paths]
    assert [a != b for a, b in zip(before, after)] == [False, True, False, False]
    main(['predict', str(run), '--images', str(image), '--out', str(tmp_path / 'fresh'), *CPU])
    assert (load_label(paths[1]) == load_label(tmp_path / 'fresh/predictions/crf' / f'{names[21]}.png')).all()


def test_changed_photograph_of_a_folder(finished, tmp_path):
    data, run = finished
    (photos := tmp_path / 'photos').mkdir()
    first, second = sorted((data / 'images').iterdir())[:2]
    for source in first, second:
        shutil.copy(source, photos / 'a.png')
        main(['predict', str(run), '--images', str(photos), '--out', str(tmp_path / 'masks'), *CPU])
        made = load_label(tmp_path / 'masks/predictions/crf/a.png')
        assert (made == load_label(run / 'predictions/crf' / source.name)).all()


# tables of tags


@pytest.mark.parametrize(
    'cell',
    [
        str,
        json.dumps,
        lambda tags: json.dumps(dict(choices=tags)),
        lambda tags: str(np.array(tags)) if tags else '[]',
        '|'.join,
        '#'.join,
        ', '.join,
        '; '.join,
        '\n'.join,
        lambda tags: '{' + str(tags)[1:-1] + '}',
    ],
)
def test_tag_cells(data, cell):
    known = read_folder(data)
    write_rows(data, rows_of(data), cell)
    images = read_folder(data)
    assert images.classes == known.classes and (images.labels == known.labels).all()


@pytest.mark.parametrize(
    'cell, message',
    [
        (lambda tags: str(tags)[:-1], 'looks like a list in a form that is not known'),
        (lambda tags: json.dumps(dict.fromkeys(tags, 0.9)) if tags else '', 'looks like a list'),
        ('/'.join, 'one class or 2?'),
    ],
)
def test_tag_cells_refused(data, fails, tmp_path, cell, message):
    (data / 'classes.txt').unlink()
    write_rows(data, rows_of(data), cell)
    assert message in fails(*begin(data, tmp_path))


def test_names_with_blanks(data, fails, tmp_path):
    "Read where a sign or classes.txt says what a blank is, and asked about where nothing does."
    known, rows = read_folder(data), rows_of(data)
    two = [(file, ['traffic light' if t == 'fox' else t for t in tags]) for file, tags in rows]
    classes = [c if c != 'fox' else 'traffic light' for c in known.classes]
    (data / 'classes.txt').write_text('\n'.join(classes))
    for sign in ' ', ';', '|', ',':
        write_rows(data, two, sign.join)
        images = read_folder(data)
        assert images.classes == tuple(classes) and (images.labels == known.labels).all()
    (data / 'classes.txt').unlink()
    write_rows(data, two, ' '.join)
    assert "'traffic' and 'light' are side by side in all 10 images" in fails(*begin(data, tmp_path))
    write_rows(data, two, ';'.join)
    assert 'traffic light' in read_folder(data).classes


def test_doubtful_names(data, tmp_path, capsys):
    rows = rows_of(data)
    (data / 'classes.txt').unlink()
    shutil.rmtree(data / 'masks')
    first = next(i for i, (_, tags) in enumerate(rows) if 'fox' in tags)
    rows[first] = (rows[first][0], ['Fox'])
    rows[first + 1] = (rows[first + 1][0], ['nan'])
    write_rows(data, rows, ' '.join)
    main(begin(data, tmp_path))
    said = capsys.readouterr().out
    assert "'Fox' and 'fox' are 2 classes" in said and "'nan' is a class" in said


# which files are photographs


def test_left_out_is_told(data, tmp_path, capsys):
    spare = sorted((data / 'images').iterdir())[0]
    shutil.copy(spare, data / 'images' / 'spare.jfif')
    (data / 'images' / 'camera.nef').write_bytes(b'')
    (data / 'images' / '._hidden.jpg').write_bytes(b'')
    main(begin(data, tmp_path))
    end = capsys.readouterr().out.splitlines()[-2:]
    assert 'images without a row in tags.csv: images/spare.jfif' in end[0] and 'camera.nef (.nef is not read' in end[1]
    main(['check', str(data), '--sheet', str(tmp_path / 'sheet.jpg')])
    said = capsys.readouterr().out
    assert 'images/spare.jfif' in said and 'camera.nef' in said and '._hidden' not in said


def test_photographs_of_every_kind(finished, tmp_path, capsys):
    "Suffixes, linked folders, circles, collisions and hidden files."
    data, run = finished
    image = Image.open(sorted((data / 'images').iterdir())[0]).convert('RGB')
    (photos := tmp_path / 'photos').mkdir()
    (elsewhere := tmp_path / 'elsewhere').mkdir()
    for suffix, kind in dict(jfif='jpeg', jpe='jpeg', ppm='ppm', jp2='jpeg2000', webp='webp').items():
        image.save(photos / f'{suffix}.{suffix}', format=kind)
    image.save(photos / '._x.jpg')
    image.save(photos / 'ppm.png')
    image.save(elsewhere / 'b.png')
    (photos / 'linked').symlink_to(elsewhere)
    (elsewhere / 'back').symlink_to(photos)
    (photos / 'raw.dng').write_bytes(b'')
    main(['predict', str(run), '--images', str(photos), '--out', str(tmp_path / 'masks'), *CPU])
    made = {
        p.relative_to(tmp_path / 'masks/predictions/crf').as_posix() for p in (tmp_path / 'masks').rglob('crf/**/*.png')
    }
    assert made == {'jfif.png', 'jpe.png', 'ppm.png', 'jp2.png', 'webp.png', 'linked/b.png'}
    said = capsys.readouterr().out
    assert 'left out: raw.dng' in said and 'left out: ppm.ppm (differs from ppm.png' in said


def test_heic(finished, tmp_path):
    pillow_heif = pytest.importorskip('pillow_heif')
    image = Image.open(sorted((finished[0] / 'images').iterdir())[0]).convert('RGB')
    pillow_heif.from_pillow(image).save(tmp_path / 'phone.heic')
    main(['predict', str(finished[1]), '--images', str(tmp_path / 'phone.heic'), '--out', str(tmp_path / 'out'), *CPU])
    assert load_label(tmp_path / 'out/predictions/crf/phone.png').shape == (96, 96)


def test_one_bad_file_of_many(finished, tmp_path, fails):
    data, run = finished
    photos = Path(shutil.copytree(data / 'images', tmp_path / 'photos'))
    bad = sorted(photos.iterdir())[4]
    bad.write_bytes(bad.read_bytes()[:300])
    line = fails('predict', run, '--images', photos, '--out', tmp_path / 'masks', *CPU)
    assert '1 of 24 images could not be read, the others are done' in line and bad.name in line
    assert len(list((tmp_path / 'masks/predictions/crf').glob('*.png'))) == 23


def test_network_without_its_data(finished, tmp_path):
    "A copied run predicts where its data set is gone, and where it has grown."
    data, run = (
        Path(shutil.copytree(finished[0], tmp_path / 'scenes')),
        Path(shutil.copytree(finished[1], tmp_path / 'run')),
    )
    stored = json.loads((run / 'recipe.json').read_text())
    stored['data']['folder'] = str(tmp_path / 'gone')
    (run / 'recipe.json').write_text(json.dumps(stored))
    before = {p: p.read_bytes() for p in run.rglob('*') if p.is_file()}
    main(['predict', str(run), '--images', str(data / 'images'), '--out', str(tmp_path / 'masks'), *CPU])
    assert before == {p: p.read_bytes() for p in run.rglob('*') if p.is_file()}
    for path in sorted((tmp_path / 'masks/predictions/crf').iterdir()):
        assert (load_label(path) == load_label(run / 'predictions/crf' / path.name)).all()


# near misses


@pytest.mark.parametrize(
    'name',
    [
        lambda file: file.replace('.png', '.PNG'),
        lambda file: file.upper(),
        lambda file: f'images/{file}',
        lambda file: f'images\\{file}',
        lambda file: f'C:\\Users\\me\\photos\\{file}',
        lambda file: file.removesuffix('.png'),
    ],
)
def test_names_nearly_right(data, name):
    known = read_folder(data)
    write_rows(data, [(name(file), tags) for file, tags in rows_of(data)], ' '.join)
    images = read_folder(data)
    assert images.files == known.files and (images.labels == known.labels).all()


def test_two_rows_of_one_file(data, fails, tmp_path):
    rows = rows_of(data)
    write_rows(data, [*rows, (rows[3][0].upper(), rows[5][1])], ' '.join)
    assert 'scene_00003.png and SCENE_00003.PNG both mean images/scene_00003.png' in fails(*begin(data, tmp_path))


def test_lists_nearly_right(data, fails, tmp_path):
    names = [file for file, _ in rows_of(data)][:3]
    known = tuple(name.removesuffix('.png') for name in names)
    for line in '/images/{}', '/images/{} /masks/{}', 'images\\{}', '{}\t{}':
        (data / 'some.txt').write_text('\n'.join(line.format(name, name) for name in names))
        assert read_folder(data, names='some.txt').names == known
    (data / 'some.txt').write_text('\n'.join(f'{name} -1' for name in known))
    assert 'a list of one class' in fails(*begin(data, tmp_path, '--train-list', 'some.txt'))


def test_masks_that_are_not_used(data, capsys, tmp_path):
    for path, new in zip(masks_of(data), ('_mask.png', '.PNG', '.bmp', '.tif')):
        path.rename(path.with_name(path.stem + new))
    main(['check', str(data), '--sheet', str(tmp_path / 'sheet.jpg')])
    assert '4 masks that are not used' in capsys.readouterr().out
    main(begin(data, tmp_path))
    assert '4 masks that are not used' in capsys.readouterr().out


def test_masks_in_another_folder(data, capsys, tmp_path):
    (data / 'masks').rename(data / 'Masks')
    main(begin(data, tmp_path))
    said = capsys.readouterr().out
    assert 'folders that may hold masks and are not used: masks are read from masks/: Masks' in said


def test_own_classes_in_the_layout_of_voc(data, fails, tmp_path):
    (data / 'images').rename(data / 'JPEGImages')
    (data / 'masks').rename(data / 'SegmentationClass')
    (data / 'classes.txt').rename(tmp_path / 'classes.txt')
    assert 'list your own in classes.txt' in fails(*begin(data, tmp_path))
    (tmp_path / 'classes.txt').rename(data / 'classes.txt')
    assert read_folder(data).masked() == list(range(24))


# the machine


def vwl(*args, **more):
    return subprocess.run([sys.executable, '-m', 'vwl', *map(str, args)], capture_output=True, text=True, **more)


def test_reader_of_the_output_gone(finished, tmp_path):
    command = [sys.executable, '-u', '-m', 'vwl', *begin(finished[0], tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait() == 1 and said.startswith('vwl: nobody reads the output') and said.count('\n') == 1


def test_closed_output(finished, tmp_path):
    words = [sys.executable, '-m', 'vwl', *begin(finished[0], tmp_path)]
    assert subprocess.run(['sh', '-c', 'exec "$@" >&-', 'sh', *words]).returncode == 0
    assert (tmp_path / 'new' / 'report.html').is_file()


@pytest.mark.parametrize('encoding', ['ascii', 'cp1252'])
def test_output_of_other_letters(data, tmp_path, encoding):
    shutil.copy(sorted((data / 'images').iterdir())[0], data / 'images' / '象.png')
    done = vwl('check', data, '--sheet', tmp_path / 'sheet.jpg', env=os.environ | dict(PYTHONIOENCODING=encoding))
    assert done.returncode == 0 and '\\u8c61.png' in done.stdout, done.stderr


def test_name_that_is_no_text(finished, tmp_path, capsys):
    (photos := tmp_path / 'photos').mkdir()
    image = sorted((finished[0] / 'images').iterdir())[0]
    shutil.copy(image, photos / 'a.png')
    shutil.copy(image, os.fsencode(photos) + b'/\xff.png')
    main(['predict', str(finished[1]), '--images', str(photos), '--out', str(tmp_path / 'masks'), *CPU])
    assert 'its name is not UTF-8' in capsys.readouterr().out
    assert (tmp_path / 'masks/predictions/crf/a.png').is_file()


def test_version():
    import vwl as package

    assert vwl('--version').stdout == f'vwl {package.__version__}\n'


@pytest.mark.parametrize(
    'error', [MemoryError(), RuntimeError('DefaultCPUAllocator: can\'t allocate memory: you tried ...')]
)
def test_out_of_memory(monkeypatch, fails, error):
    def no_memory(args):
        raise error

    monkeypatch.setattr(cli, 'function_of', lambda args: no_memory)
    assert 'out of memory' in (line := fails('evaluate', 'nowhere')) and '--batch-size' in line


def test_another_error_is_not_hidden(monkeypatch):
    def fault(args):
        raise RuntimeError('a fault of the program')

    monkeypatch.setattr(cli, 'function_of', lambda args: fault)
    with pytest.raises(RuntimeError):
        main(['evaluate', 'nowhere'])


def test_damaged_weights_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / 'mobilenet_v2-b0353104.pth').write_bytes(b'half a file')
    with pytest.raises(InputError, match='mobilenet_v2-b0353104.pth: the ImageNet weights .* are damaged .*delete'):
        build_backbone('mobilenet_v2')


def test_weights_of_training_scripts(tmp_path):
    for held in 'model', 'state_dict', 'model_state_dict':
        torch.save({held: {'module.w': torch.ones(2)}, 'epoch': 3}, tmp_path / 'w.pth')
        assert read_weights(tmp_path / 'w.pth')['w'].tolist() == [1, 1]


def test_weights_by_a_relative_path(finished, tmp_path, monkeypatch):
    "They are found again from another folder."
    shutil.copy(finished[1] / 'classifier/weights.safetensors', tmp_path / 'w.safetensors')
    monkeypatch.chdir(tmp_path)
    main(['train', str(finished[0]), '--out', 'run', *SMALL, '--weights', 'w.safetensors'])
    assert open_run('run').recipe.network.weights == str(tmp_path / 'w.safetensors')


@pytest.mark.parametrize('method', multiprocessing.get_all_start_methods())
def test_start_methods(run, method):
    "Training on true masks with worker processes, as macOS, Windows and newer Pythons start them."
    code = (
        f'import multiprocessing; multiprocessing.set_start_method({method!r}); '
        'import sys; from vwl.apps.cli import main; main(sys.argv[1:])'
    )
    words = ['segment', str(run), '--seg-labels', 'masks', '--seg-weights', 'none', '--workers', '1', '--device', 'cpu']
    done = subprocess.run([sys.executable, '-c', code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (run / 'segmentation' / 'weights.safetensors').is_file() and 'labels: masks' in done.stdout


def test_images_travel(data):
    images = read_folder(data)
    assert (pickle.loads(pickle.dumps(images.mask))(2) == images.mask(2)).all()


@pytest.mark.parametrize('text', ['{"name": "my photographs", "version": 3}', '[1, 2]', '{"a": 1}\n{"a": 2}\n', ''])
def test_dataset_of_another_tool(data, text):
    (data / 'dataset.json').write_text(text)
    assert read_dataset(data).name == '' and len(read_folder(data)) == 24


def test_escape_sequences_are_shown(fails):
    assert 'no\\x1b[31mwhere x: no such folder' in fails('run', 'no\x1b[31mwhere\nx', '--out', 'y')


def test_no_locks(tmp_path, monkeypatch):
    "A file system without locks: said once, and the command works."

    def acquire(*args, **more):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr('filelock.FileLock.acquire', acquire)
    with pytest.warns(UserWarning, match='this file system has no locks'), at_work(tmp_path / 'run'):
        pass


@pytest.mark.parametrize('colour', ['256,0,0', '²,0,0', '9' * 5000 + ',0,0', '-1,0,0', '1,2'])
def test_colours_that_are_none(data, fails, tmp_path, colour):
    (data / 'labelmap.txt').write_text(f'fox:{colour}::\n')
    assert 'is not of the form name:red,green,blue' in fails(*begin(data, tmp_path))


def test_no_compiler(monkeypatch, fails):
    def no_compiler(args):
        raise RuntimeError('Failed to find C compiler. Please specify via CC environment variable')

    monkeypatch.setattr(cli, 'function_of', lambda args: no_compiler)
    assert '--compile needs a C++ compiler' in fails('evaluate', 'nowhere')


def test_run_of_an_older_version(run, fails):
    stored = json.loads((run / 'recipe.json').read_text())
    flat = dict(stored, recipe=dict(epochs=6, tau=1.0), versions=dict(vwl='0.0.1'))
    (run / 'recipe.json').write_text(json.dumps(flat))
    line = fails('evaluate', run, *CPU)
    assert 'begun by an older version of vwl' in line and '0.0.1' in line
    stored['data']['fingerprint'] = '0123'
    (run / 'recipe.json').write_text(json.dumps(stored))
    assert 'begun by an older version of vwl' in fails('evaluate', run, *CPU)
