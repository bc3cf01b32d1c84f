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
