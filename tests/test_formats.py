"Annotations of other tools: from their files to masks, and masks read back by readers that are not ours."

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
import numpy as np
import pytest
from matplotlib.path import Path as Contour
from PIL import Image
from vwl.apps.cli import main
from vwl.data.formats_in import FORMATS
from vwl.data.formats_out import MaskedImage, write_masks
from vwl.data.images import read_folder
from vwl.engine.arrays import load_label, save_label
from conftest import TINY, WHOLE

CLASSES = ('cow', 'sea cow')


@pytest.fixture
def masked(tmp_path):
    "Two photographs with masks that have a hole, two parts, and a void rim."
    y, x = np.mgrid[:90, :120]
    label = np.zeros((90, 120), np.uint8)
    label[np.hypot(x - 40, y - 45) < 30] = 1
    label[np.hypot(x - 45, y - 40) < 8] = 0
    label[np.hypot(x - 90, y - 30) < 20] = 2
    label[70:80, 80:110] = 2
    label[:2] = 255
    (tmp_path / 'photographs').mkdir()
    for name in 'ab':
        Image.new('RGB', (120, 90)).save(tmp_path / 'photographs' / f'{name}.jpg')
    return [MaskedImage('a.jpg', label), MaskedImage('b.jpg', np.fliplr(label).copy())]


def written(masked, tmp_path, form, tolerance=None):
    out = tmp_path / f'{form}-{tolerance}'
    found = write_masks(masked, CLASSES, tmp_path / 'photographs', form, out, tolerance)
    return out, found


def ids_of(names):
    return {name: 255 if name == 'void' else CLASSES.index(name) + 1 for name in names}


def test_coco_by_pycocotools(masked, tmp_path):
    from pycocotools.coco import COCO

    for tolerance in None, 1.0:
        out, found = written(masked, tmp_path, 'coco', tolerance)
        coco, differ = COCO(out / 'annotations' / 'instances_default.json'), 0
        ids = ids_of([c['name'] for c in coco.loadCats(coco.getCatIds())])
        for image, one in zip(coco.loadImgs(coco.getImgIds()), masked):
            read = np.zeros_like(one.label)
            for a in coco.loadAnns(coco.getAnnIds(image['id'])):
                inside = coco.annToMask(a) > 0
                read[inside] = ids[coco.loadCats(a['category_id'])[0]['name']]
                assert a['area'] == inside.sum() and a['iscrowd'] == (tolerance is None)
            differ += int((read != one.label).sum())
        assert differ == found.different and differ <= (0 if tolerance is None else 0.02 * found.pixels)


def test_label_studio_by_its_converter(masked, tmp_path):
    brush = pytest.importorskip('label_studio_converter.brush')
    out, _ = written(masked, tmp_path, 'label-studio')
    for task, one in zip(json.loads((out / 'tasks.json').read_text()), masked):
        assert task['data']['image'] == f'/data/local-files/?d={one.file}'
        read = np.zeros_like(one.label)
        for result in task['predictions'][0]['result']:
            pixels = brush.decode_rle(result['value']['rle']).reshape(*one.label.shape, 4)[:, :, 3]
            read[pixels > 0] = ids_of(result['value']['brushlabels'])[result['value']['brushlabels'][0]]
        assert (read == one.label).all()
    setup = ElementTree.parse(out / 'labeling_setup.xml')
    assert [l.get('value') for l in setup.iter('Label')] == [*CLASSES, 'void']


def test_brushes_that_label_studio_wrote(masked):
    "The converter's writer, which packs runs in its own way, is read as well."
    brush = pytest.importorskip('label_studio_converter.brush')
    from vwl.data.formats_in import decode_brush

    for inside in (masked[0].label == 1, np.random.default_rng(0).random((40, 60)) > 0.5):
        assert (decode_brush(brush.mask2rle(inside.astype(np.uint8) * 255), *inside.shape) == inside).all()


def test_cvat_by_datumaro(masked, tmp_path):
    datumaro = pytest.importorskip('datumaro')
    out, _ = written(masked, tmp_path, 'cvat')
    shutil.copytree(tmp_path / 'photographs', out / 'images')  # Datumaro wants them there
    dataset = datumaro.Dataset.import_from(str(out), 'cvat')
    names = [l.name for l in dataset.categories()[datumaro.AnnotationType.label]]
    for item in dataset:
        label = next(m.label for m in masked if m.file == f'{item.id}.jpg')
        read = np.zeros_like(label)
        for a in item.annotations:
            read[np.asarray(a.image, bool)] = ids_of(names)[names[a.label]]
        assert (read == label).all()


def test_cvat_by_hand(masked, tmp_path):
    "CVAT's run lengths as its documentation has them: rows of the box, outside first."
    out, _ = written(masked, tmp_path, 'cvat')
    for image, one in zip(ElementTree.parse(out / 'annotations.xml').iter('image'), masked):
        read = np.zeros_like(one.label)
        for mask in image.iter('mask'):
            left, top, w, h = (int(mask.get(k)) for k in ('left', 'top', 'width', 'height'))
            flat = []
            for i, n in enumerate(mask.get('rle').split(', ')):
                flat += [i % 2] * int(n)
            inside = np.array(flat, bool).reshape(h, w)
            read[top : top + h, left : left + w][inside] = ids_of([mask.get('label')])[mask.get('label')]
        assert (read == one.label).all()


@pytest.mark.parametrize('tolerance', [0.0, 1.0, 3.0])
def test_labelme_by_matplotlib(masked, tmp_path, tolerance):
    "Polygons lie at most as far off as was said: each pixel that differs has one of the other kind that near."
    from scipy import ndimage

    out, found = written(masked, tmp_path, 'labelme', tolerance)
    centres = np.stack(np.mgrid[:90, :120][::-1], -1).reshape(-1, 2) + (0.52, 0.51)
    for one in masked:
        content, read = json.loads((out / one.file).with_suffix('.json').read_text()), np.zeros_like(one.label)
        assert (out / content['imagePath']).resolve() == tmp_path / 'photographs' / one.file
        for shape in content['shapes']:
            inside = Contour(shape['points']).contains_points(centres).reshape(90, 120)
            read[inside] = ids_of([shape['label']])[shape['label']]
        same = [ndimage.binary_dilation(read == i, np.ones((3, 3)), round(tolerance) + 1) for i in (0, 1, 2, 255)]
        assert all(near[one.label == i].all() for near, i in zip(same, (0, 1, 2, 255)))
        assert tolerance or (read == one.label).all()


def made_by_hand(form, folder, data):
    "The scenes' tags in the form of a tool; the file or folder to import."
    images, folder = read_folder(data), folder / form
    folder.mkdir()
    rows = [(images.files[i].removeprefix('images/'), images.tags(i)) for i in range(len(images))]
    w, h = images.image(0).size
    if form == 'folders':
        for file, tags in rows:
            place = folder / (tags[0] if tags else 'background')
            place.mkdir(exist_ok=True)
            shutil.copy(data / 'images' / file, place / file)
        return folder
    if form == 'csv':
        lines = [','.join(['image', *images.classes])]
        lines += [','.join([f, *('1' if c in tags else '0' for c in images.classes)]) for f, tags in rows]
        (folder / 'hot.csv').write_text('\n'.join(lines))
    elif form == 'label-studio':
        tasks = [
            dict(
                data=dict(image=f'/data/upload/7/0a1b2c3d-{f}'),
                annotations=[dict(result=[dict(value=dict(choices=t))])],
            )
            for f, t in rows
        ]
        (folder / 'project.json').write_text(json.dumps(tasks))
    elif form == 'cvat':
        body = ''.join(
            f'<image id="{i}" name="{f}" width="{w}" height="{h}">'
            + ''.join(f'<tag label="{t}"/>' for t in tags)
            + '</image>'
            for i, (f, tags) in enumerate(rows)
        )
        (folder / 'annotations.xml').write_text(f'<annotations><version>1.1</version>{body}</annotations>')
    elif form == 'coco':
        made = [dict(id=i, file_name=f, width=w, height=h) for i, (f, _) in enumerate(rows)]
        marked = [
            dict(id=7 * i + k, image_id=i, category_id=images.classes.index(t), bbox=[1, 1, 9, 9])
            for i, (_, tags) in enumerate(rows)
            for k, t in enumerate(tags)
        ]
        names = [dict(id=i, name=c) for i, c in enumerate(images.classes)]
        (folder / 'x.json').write_text(json.dumps(dict(images=made, annotations=marked, categories=names)))
    elif form == 'labelme':
        for f, tags in rows:
            about = dict(imagePath=f, imageHeight=h, imageWidth=w, shapes=[], flags=dict.fromkeys(tags, True))
            (folder / f).with_suffix('.json').write_text(json.dumps(about))
    elif form == 'voc':
        (folder / 'Annotations').mkdir()
        for f, tags in rows:
            objects = ''.join(f'<object><name>{t}</name></object>' for t in tags)
            path = (folder / 'Annotations' / f).with_suffix('.xml')
            path.write_text(f'<annotation><filename>{f}</filename>{objects}</annotation>')
    elif form == 'hugging-face':
        lines = [json.dumps(dict(file_name=f, labels=t)) for f, t in rows]
        (folder / 'metadata.jsonl').write_text('\n'.join(lines))
    return folder


@pytest.mark.parametrize('form', FORMATS)
def test_two_commands_from_each_form(form, data, tmp_path):
    "The tags that come out are those of the scenes."
    source = made_by_hand(form, tmp_path, data)
    place = [] if form == 'folders' else ['--images', data / 'images']
    main([str(a) for a in ['import', form, source, '--out', tmp_path / 'imported', *place]])
    images, truth = read_folder(tmp_path / 'imported'), read_folder(data)
    tags = {Path(images.names[i]).name: set(images.tags(i)) for i in range(len(images))}
    if form == 'folders':  # one tag an image
        expected = {truth.names[i]: set(truth.tags(i)[:1]) for i in range(len(truth))}
    else:
        expected = {truth.names[i]: set(truth.tags(i)) for i in range(len(truth))}
    assert tags == expected
    if form in ('folders', 'cvat'):
        main([str(a) for a in ['run', tmp_path / 'imported', '--out', tmp_path / 'run', *TINY]])
        assert len(list((tmp_path / 'run' / 'seeds' / 'crf').rglob('*.png'))) == len(images)


def test_a_run_for_a_person_and_back(run, data, tmp_path, capsys):
    "Pseudo labels out, six of them corrected and back into the folder, learned from with the others; then two more."
    shutil.move(data / 'masks', tmp_path / 'truth')
    again, out = tmp_path / 'again', tmp_path / 'tasks'
    main([str(a) for a in ['run', data, '--out', again, *WHOLE]])
    main([str(a) for a in ['export-masks', again, '--format', 'label-studio', '--out', out]])
    assert '24 images' in capsys.readouterr().out

    def correct(images):
        "What a person submits: the true masks, in place of what was shown."
        tasks = json.loads((out / 'tasks.json').read_text())
        truth = read_folder(data)
        made = [
            MaskedImage(t['data']['image'].partition('?d=')[2], np.asarray(Image.open(tmp_path / 'truth' / f'{n}.png')))
            for t in tasks[:images]
            for n in [Path(t['data']['image']).stem]
        ]
        corrected = tmp_path / f'corrected-{images}'
        write_masks(made, truth.classes, data, 'label-studio', corrected)
        done = [t | dict(annotations=t.pop('predictions')) for t in json.loads((corrected / 'tasks.json').read_text())]
        (corrected / 'tasks.json').write_text(json.dumps(done + tasks[images:]))
        main([str(a) for a in ['import', 'label-studio', corrected / 'tasks.json', '--into', data]])

    correct(6)
    images = read_folder(data)
    assert images.masked() == list(range(6))
    for i in range(6):
        assert (images.mask(i) == np.asarray(Image.open(tmp_path / 'truth' / f'{images.names[i]}.png'))).all()
    main([str(a) for a in ['segment', again, '--seg-labels', 'mixed', '--workers', '0']])
    weights = again / 'segmentation' / 'weights.safetensors'
    first, said = weights.read_bytes(), capsys.readouterr().out
    assert 'labels: mixed' in said and '6 of the validation images are learned from' in said
    main([str(a) for a in ['segment', again, '--workers', '0']])
    assert 'training' not in capsys.readouterr().out and weights.read_bytes() == first
    correct(8)
    main([str(a) for a in ['segment', again, '--workers', '0']])
    assert 'the true masks have changed' in capsys.readouterr().out and weights.read_bytes() != first


def test_what_is_refused(run, data, tmp_path, fails):
    out = tmp_path / 'new'
    assert 'no format is called' in fails('import', 'excel', data, '--out', out)
    assert 'no such file or folder' in fails('import', 'coco', tmp_path / 'nothing.json', '--out', out)
    (tmp_path / 'a.json').write_text('{"images": [], "annotations": [], "categories": []}')
    assert 'a.json' in fails('import', 'coco', tmp_path / 'a.json', '--out', out)
    assert 'is there already' in fails('import', 'folders', data, '--out', data)
    assert 'not XML' in fails('import', 'cvat', tmp_path / 'a.json', '--out', out).replace(
        'not readable as XML', 'not XML'
    )
    assert 'this run makes cam' in fails('export-masks', run, '--format', 'png', '--out', out, '--masks', 'edges')
    assert 'belong together' in fails('export-masks', run, '--format', 'png', '--out', out, '--predicted', data)
    assert '0 to 100 pixels' in fails('export-masks', run, '--format', 'coco', '--out', out, '--polygons', '-2')
    shutil.rmtree(data / 'masks')
    assert 'has no masks' in fails('export-masks', data, '--format', 'png', '--out', out)
    assert not out.exists()


def test_budget(run, fails, capsys):
    "Few masks: thresholds of draws, the other network's scores, and what is refused."
    main(['evaluate', str(run), '--budget', '6', '--draws', '5', '--few-shot', '0', '--workers', '0'])
    said = capsys.readouterr().out
    assert 'chosen on 6 masks, 5 draws' in said and 'PxAP' in said
    found = json.loads((run / 'few_masks' / '6.json').read_text())
    assert len(found['maps']['miou']) == 5 and found['few_shot']['draws'] == []
    assert 'With 6 masks' in (run / 'report.html').read_text()
    assert 'give 1 to 23' in fails('evaluate', run, '--budget', '24')
    assert '--draws must be at least 1' in fails('evaluate', run, '--budget', '4', '--draws', '0')
    shutil.rmtree(run / 'predictions')
    main(['evaluate', str(run), '--budget', '6', '--draws', '5', '--workers', '0'])
    assert f'so no network is trained on the 6 masks for comparison; make them: vwl predict {run}' in (
        capsys.readouterr().out
    )
    main(['segment', str(run), '--seg-labels', 'masks', '--seg-steps', '1', '--workers', '0', '--device', 'cpu'])
    assert 'learned from true masks' in fails('evaluate', run, '--budget', '6')


def test_lists_of_a_tool(tmp_path, capsys, fails):
    "The command that is named learns from the tool's training images alone; --into takes no flags of a new folder."
    splits = [f'{split}/{name}/{split}{i}.jpg' for split in ('train', 'test') for name in ('cat', 'dog') for i in '01']
    photographs(tmp_path / 'cls', *[f.replace('.jpg', f'{f.split("/")[1]}.jpg') for f in splits])
    main(['import', 'folders', str(tmp_path / 'cls'), '--out', str(tmp_path / 'out')])
    run = f'vwl run {tmp_path / "out"} --train-list lists/train.txt --val-list lists/test.txt\n'
    assert capsys.readouterr().out.split('next: ')[1].split(', ')[1].startswith(run)
    into = ['import', 'folders', tmp_path / 'cls', '--into', tmp_path / 'out']
    assert '--classes, --copy cannot go with --into' in fails(*into, '--copy', '--classes', 'dog')


def photographs(folder, *files, size=(40, 30)):
    "Small photographs below a folder."
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', size).save(folder / file)
    return folder


def coco_of(folder, images, annotations):
    "A JSON of COCO with the classes cat and dog."
    made = [dict(id=i, file_name=f, width=40, height=30) for i, f in enumerate(images)]
    marked = [dict(id=n, iscrowd=0) | a for n, a in enumerate(annotations)]
    names = [dict(id=1, name='cat'), dict(id=2, name='dog')]
    (folder / 'a.json').write_text(json.dumps(dict(images=made, annotations=marked, categories=names)))
    return folder / 'a.json'


SQUARE = [[2, 2, 10, 2, 10, 10, 2, 10]]


def imported(*argv):
    main(['import', *map(str, argv)])


def test_a_photograph_found_elsewhere_is_said(tmp_path, capsys, fails):
    "A name whose folder is another one, and two files of one stem."
    folder = photographs(tmp_path / 'x', 'dogs/1.jpg')
    imported('coco', coco_of(folder, ['cats/1.jpg'], [dict(image_id=0, category_id=1)]), '--out', tmp_path / 'out')
    assert 'cats/1.jpg -> dogs/1.jpg' in capsys.readouterr().out
    both = photographs(tmp_path / 'y', 'a.jpg', 'a.png')
    source = coco_of(both, ['a.png'], [dict(image_id=0, category_id=1)])
    assert 'differs from a.jpg in nothing but the suffix' in fails('import', 'coco', source, '--out', tmp_path / 'two')


def test_an_object_of_which_only_a_box_is_known(tmp_path, capsys):
    "Its pixels are not known, so its image gets no mask."
    marks = [dict(image_id=0, category_id=1, segmentation=SQUARE), dict(image_id=0, category_id=1, bbox=[22, 2, 9, 9])]
    source = coco_of(photographs(tmp_path / 'x', 'a.jpg'), ['a.jpg'], marks)
    imported('coco', source, '--out', tmp_path / 'out')
    assert 'a.jpg (cat)' in capsys.readouterr().out and not (tmp_path / 'out' / 'masks').exists()
    imported('coco', source, '--into', tmp_path / 'out')
    assert 'a.jpg (cat)' in capsys.readouterr().out and not (tmp_path / 'out' / 'masks').exists()


def test_an_ellipse_that_is_turned(tmp_path):
    photographs(tmp_path / 'x', 'a.jpg')
    shape = '<ellipse label="cat" cx="20" cy="15" rx="14" ry="3" rotation="90.00"/>'
    text = f'<annotations><image id="0" name="a.jpg" width="40" height="30">{shape}</image></annotations>'
    (tmp_path / 'x' / 'annotations.xml').write_text(text)
    imported('cvat', tmp_path / 'x', '--out', tmp_path / 'out')
    rows, columns = np.nonzero(np.asarray(Image.open(tmp_path / 'out' / 'masks' / 'a.png')))
    assert (rows.min(), rows.max()) in {(1, 28), (1, 29)} and 16 <= columns.min() <= columns.max() <= 23


def test_what_is_kept_and_what_is_not_touched(tmp_path, capsys):
    "A folder beside the new one stays; an image that was emptied is named and keeps its mask."
    (tmp_path / 'out.part').mkdir()
    (tmp_path / 'out.part' / 'mine.txt').write_text('x')
    folder = photographs(tmp_path / 'x', 'a.jpg', 'b.jpg')
    marks = [dict(image_id=i, category_id=1, segmentation=SQUARE) for i in (0, 1)]
    imported('coco', coco_of(folder, ['a.jpg', 'b.jpg'], marks), '--out', tmp_path / 'out')
    assert (tmp_path / 'out.part' / 'mine.txt').read_text() == 'x'
    before = (tmp_path / 'out' / 'masks' / 'b.png').read_bytes()
    imported('coco', coco_of(folder, ['a.jpg', 'b.jpg'], marks[:1]), '--into', tmp_path / 'out')
    assert 'keep the mask that they had: b' in capsys.readouterr().out
    assert (tmp_path / 'out' / 'masks' / 'b.png').read_bytes() == before


def test_layouts_that_mislead(tmp_path, fails):
    "Loose photographs in a split, a folder too far up, masks of unknown ids, several names in a cell."
    loose = photographs(tmp_path / 'loose', 'train/cat/1.jpg', 'train/dog/2.jpg', 'test/3.jpg')
    assert 'test/3.jpg: lies in no folder of a class' in fails('import', 'folders', loose, '--out', tmp_path / 'o')
    above = photographs(tmp_path / 'above', 'archive/cat/1.jpg', 'archive/dog/2.jpg')
    assert 'give the folder of the classes' in fails('import', 'folders', above, '--out', tmp_path / 'o')
    voc = photographs(tmp_path / 'voc', 'JPEGImages/a.jpg', 'SegmentationClass/a.png')
    (voc / 'Annotations').mkdir()
    (voc / 'Annotations' / 'a.xml').write_text('<annotation><object><name>weed</name></object></annotation>')
    Image.fromarray(np.ones((30, 40), np.uint8)).save(voc / 'SegmentationClass' / 'a.png')
    assert 'add labelmap.txt' in fails('import', 'voc', voc, '--out', tmp_path / 'o')
    hub = photographs(tmp_path / 'hub', 'a.jpg')
    (hub / 'metadata.csv').write_text('file_name,label\na.jpg,"cat,dog"\n')
    assert 'looks like several names' in fails('import', 'hugging-face', hub, '--out', tmp_path / 'o')


def test_what_label_studio_says_in_other_ways(tmp_path):
    "Boxes with labels, taxonomies, choices of a region, and choices of JSON-MIN under a name of their own."
    folder = photographs(tmp_path / 'x', 'a.jpg', 'b.jpg')
    sizes, box = dict(original_width=40, original_height=30), dict(x=1, y=1, width=9, height=9)
    polygon = dict(points=[[0, 0], [50, 0], [50, 50]], polygonlabels=['cat'])
    results = [
        [dict(id='1', value=polygon, **sizes), dict(id='1', value=dict(choices=['occluded']) | polygon, **sizes)],
        [dict(id='2', value=box | dict(labels=['dog'])), dict(id='3', value=dict(taxonomy=[['animal', 'cat']]))],
    ]
    tasks = [dict(data=dict(image=f), annotations=[dict(result=r)]) for f, r in zip(('a.jpg', 'b.jpg'), results)]
    (folder / 'tasks.json').write_text(json.dumps(tasks))
    imported('label-studio', folder / 'tasks.json', '--out', tmp_path / 'out')
    images = read_folder(tmp_path / 'out')
    assert [set(images.tags(i)) for i in (0, 1)] == [{'cat'}, {'cat', 'dog'}] and images.masked() == [0]
    small = [dict(image='a.jpg', species='cat'), dict(image='b.jpg', species=dict(choices=['cat', 'dog']))]
    (folder / 'tasks.json').write_text(json.dumps(small))
    imported('label-studio', folder / 'tasks.json', '--out', tmp_path / 'min')
    images = read_folder(tmp_path / 'min')
    assert [set(images.tags(i)) for i in (0, 1)] == [{'cat'}, {'cat', 'dog'}]


def test_painted_masks(data, tmp_path, fails):
    "Masks that are painted get no ids among them."
    main(['export-masks', str(data), '--format', 'coco', '--out', str(tmp_path / 'coco')])
    names = (data / 'classes.txt').read_text().split()
    lines = ['background:0,0,0::', *(f'{c}:{40 + 20 * i},0,9::' for i, c in enumerate(names))]
    (data / 'labelmap.txt').write_text('\n'.join(lines))
    before = {p: p.read_bytes() for p in data.rglob('*') if p.is_file()}
    assert 'painted in the colours of labelmap.txt' in fails('import', 'coco', tmp_path / 'coco', '--into', data)
    assert before == {p: p.read_bytes() for p in data.rglob('*') if p.is_file()}


@pytest.mark.parametrize('name', ['Void', 'unlabelled'])
def test_no_class(data, tmp_path, fails, name):
    "A name that tools use for pixels that count for nothing is refused as a class."
    (data / 'classes.txt').unlink()
    table = (data / 'tags.csv').read_text()
    (data / 'tags.csv').write_text(table.replace('owl', name))
    assert f"'{name}' is no class" in fails('check', data, '--workers', '0')


def test_a_class_called_train(tmp_path, fails, capsys):
    "Beside other classes it is no list; alone with its photographs it is one of them."
    photographs(
        tmp_path / 'two', *[f'{c}/{t}/{i}.jpg' for i, c in enumerate(('car', 'train')) for t in ('day', 'night')]
    )
    assert "is 'train' a class, as 'car' is" in fails('import', 'folders', tmp_path / 'two', '--out', tmp_path / 'out')
    photographs(tmp_path / 'flat', 'car/a.jpg', 'train/b.jpg', 'car/c.jpg')
    main(['import', 'folders', str(tmp_path / 'flat'), '--out', str(tmp_path / 'out')])
    assert read_folder(tmp_path / 'out').classes == ('car', 'train')


@pytest.mark.parametrize('format', ['label-studio', 'labelme'])
def test_equal_names_in_subfolders(tmp_path, format):
    "What goes out comes back to the photograph that it is of; an & in a name does no harm."
    folder = tmp_path / 'data'
    photographs(folder / 'images', 'x/1.jpg', 'y/1.jpg', 'a&b.jpg')
    (folder / 'tags.csv').write_text('image,tags\nx/1.jpg,cat\ny/1.jpg,dog\na&b.jpg,cat\n')
    for i, name in enumerate(('x/1', 'y/1', 'a&b')):
        mask = np.zeros((30, 40), np.uint8)
        mask[5:20, 3 * i : 20] = 1 + (name == 'y/1')
        save_label(folder / 'masks' / f'{name}.png', mask)
    before = {p: load_label(p) for p in (folder / 'masks').rglob('*.png')}
    main(['export-masks', str(folder), '--format', format, '--out', str(tmp_path / 'out'), '--polygons', '0'])
    shutil.rmtree(folder / 'masks')
    (folder / 'masks').mkdir()
    source = tmp_path / 'out' / 'tasks.json' if format == 'label-studio' else tmp_path / 'out'
    if format == 'label-studio':  # a person agrees with all
        tasks = json.loads(source.read_text())
        source.write_text(json.dumps([dict(data=t['data'], annotations=t['predictions']) for t in tasks]))
    main(['import', format, str(source), '--into', str(folder)])
    assert before.keys() == {*(folder / 'masks').rglob('*.png')}
    assert all((load_label(p) == mask).mean() > 0.95 for p, mask in before.items())


def test_masks_of_another_network(run, tmp_path, fails):
    "Predictions of a network with other classes aren't given the names of this one's."
    photographs(tmp_path / 'p', 'a.jpg')
    main(['predict', str(run), '--images', str(tmp_path / 'p'), '--out', str(tmp_path / 'o'), '--workers', '0'])
    made = json.loads((tmp_path / 'o' / 'made_by.json').read_text())
    (tmp_path / 'o' / 'made_by.json').write_text(json.dumps(made | dict(classes=made['classes'][::-1])))
    source = ['--images', tmp_path / 'p', '--predicted', tmp_path / 'o']
    said = fails('export-masks', run, '--format', 'coco', '--out', tmp_path / 'm', *source)
    assert 'by a network of other classes' in said


def test_budget_takes_all(data, tmp_path, fails):
    "Where the drawn masks are all that there are to validate on, that is said."
    (data / 'val.txt').write_text('scene_00003\n')
    main(['run', str(data), '--out', str(tmp_path / 'run'), *WHOLE, '--val-list', str(data / 'val.txt')])
    said = fails('evaluate', tmp_path / 'run', '--budget', '23', '--draws', '2', '--workers', '0')
    assert 'are among the 23 drawn' in said
