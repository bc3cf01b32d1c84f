"Small data sets in exactly the layouts that VOC 2012, SBD and COCO 2014 are published in."
import json
import numpy as np
from PIL import Image
from scipy.io import savemat
from vwl.data.images import VOC_CLASSES
from vwl.engine.files import save_label

def save_sbd(path, mask):
    "A `.mat` file as in SBD's folder `cls`."
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, dict(GTcls=dict(Boundaries=np.zeros((20, 1), object), Segmentation=mask, CategoriesPresent=np.unique(mask))))
    return path

def box(name):
    "A box of a VOC annotation, with a part, which is no tag."
    return f'<object><name>{name}</name><part><name>head</name></part><difficult>1</difficult></object>'

def write_voc(root, train=('2007_000001', '2007_000002'), val=('2007_000003',), sbd_train=('2008_000004', '2007_000001'), sbd_val=('2008_000005', '2007_000003'), test=()):
    """VOC 2012 and SBD below `root`, 80 pixels wide and from 60 high. Image i shows class i; SBD has another mask
    (class 20) for the images of 2007, which VOC has masks of."""
    voc, sbd, rng = root/'VOCdevkit'/'VOC2012', root/'benchmark_RELEASE'/'dataset', np.random.default_rng(0)
    for folder in voc/'JPEGImages', voc/'Annotations', voc/'SegmentationClass', voc/'ImageSets'/'Segmentation', sbd/'cls': folder.mkdir(parents=True)
    for i, name in enumerate(sorted({*train, *val, *sbd_train, *sbd_val, *test})):
        mask = np.zeros((60+i, 80), np.uint8); mask[20:40, 10:50] = 1+i%20
        pixels = rng.integers(0, 256, (60+i, 80, 3), dtype=np.uint8); pixels[20:40, 10:50] //= 4
        Image.fromarray(pixels).save(voc/'JPEGImages'/f'{name}.jpg')
        if name in test: continue
        (voc/'Annotations'/f'{name}.xml').write_text(f'<annotation>{box(VOC_CLASSES[i%20])}</annotation>')
        if name in (*train, *val): save_label(voc/'SegmentationClass'/f'{name}.png', mask)
        if name in (*sbd_train, *sbd_val): save_sbd(sbd/'cls'/f'{name}.mat', np.where(mask > 0, mask if name.startswith('2008') else 20, 0).astype(np.uint8))
    lists = {voc/'ImageSets'/'Segmentation'/'train.txt': train, voc/'ImageSets'/'Segmentation'/'val.txt': val, sbd/'train.txt': sbd_train, sbd/'val.txt': sbd_val}
    if test: lists[voc/'ImageSets'/'Segmentation'/'test.txt'] = test
    for path, names in lists.items(): path.write_text(''.join(f'{n}\n' for n in names))
    return root

def square(x, y, side):
    "A square as COCO's polygons."
    return [[x, y, x+side, y, x+side, y+side, x, y+side]]

def write_coco(root, images=4):
    """COCO 2014 below `root`: three categories, gaps in their ids, a blank in a name; two instances an image, the smaller
    over the larger; the second image is grey; one more image has no instance."""
    rng, categories = np.random.default_rng(0), [dict(id=1, name='person'), dict(id=44, name='wine glass'), dict(id=90, name='toothbrush')]
    for part in 'train', 'val':
        infos, instances = [], []
        for i in range(1, images+2):
            infos.append(dict(id=i, file_name=f'COCO_{part}2014_{i:012}.jpg', height=40, width=60+i))
            path = root/f'{part}2014'/infos[-1]['file_name']; path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (40, 60+i, 3), dtype=np.uint8)
            Image.fromarray(pixels[..., 0] if i == 2 else pixels).save(path)
            if i > images: continue
            instances.append(dict(id=10*i, image_id=i, category_id=categories[i%3]['id'], area=400., iscrowd=0, segmentation=square(5, 5, 20)))
            instances.append(dict(id=10*i+1, image_id=i, category_id=categories[(i+1)%3]['id'], area=25., iscrowd=0, segmentation=square(8, 8, 5)))
        (root/'annotations').mkdir(exist_ok=True)
        (root/'annotations'/f'instances_{part}2014.json').write_text(json.dumps(dict(images=infos, annotations=instances, categories=categories)))
    return root
