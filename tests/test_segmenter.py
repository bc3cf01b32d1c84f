"The trained network as an object, exported, and without torch; the parts for other programs."

import re
import subprocess
import sys
import textwrap
from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
import vwl
from vwl.apps.cli import main
from vwl.stages.pipeline import example_run

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return example_run(tmp_path_factory.mktemp('segmenter'), seg_steps=40, predict_crf='none')


def test_readme(run, tmp_path, monkeypatch):
    "The Python of the README runs as it is printed, in at most ten lines."
    code = re.search(r'## In Python.*?```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.S)[1]
    assert len(code.splitlines()) <= 10
    (tmp_path / 'runs').mkdir()
    (tmp_path / 'runs/birds').symlink_to(run.folder)
    (tmp_path / 'holiday').mkdir()
    run.train.image(0).save(tmp_path / 'holiday/lake.jpg')
    monkeypatch.chdir(tmp_path)
    exec(code, held := {})
    assert Image.open('lake.png').size == run.train.image(0).size
    assert held['found'].mask.shape == run.train.image(0).size[::-1]


@pytest.fixture(scope='module')
def exported(run):
    main(['export', str(run.folder), '--out', str(run.folder.parent / 'scenes-segmenter'), '--onnx'])
    return run.folder.parent / 'scenes-segmenter'


def test_predict(run, exported, tmp_path):
    "An exported folder predicts what its run does, of a folder and of one photograph."
    (tmp_path / 'photographs').mkdir()
    for i in range(3):
        run.train.image(i).save(tmp_path / f'photographs/{i}.png')
    for name, images in dict(several='photographs', one='photographs/1.png').items():
        for who, folder in dict(run=run.folder, exported=exported).items():
            main(['predict', str(folder), '--images', str(tmp_path / images), '--out', str(tmp_path / name / who)])
        masks = sorted((tmp_path / name / 'run/predictions/network').glob('*.png'))
        assert len(masks) == dict(several=3, one=1)[name]
        for mask in masks:
            other = tmp_path / name / 'exported/predictions/network' / mask.name
            assert mask.read_bytes() == other.read_bytes()


def test_without_torch(run, exported, tmp_path):
    "The ONNX file runs where torch can't be imported, and gives the segmenter's mask."
    pytest.importorskip('onnxruntime')
    run.train.image(2).save(tmp_path / 'scene.png')
    program = f"""
        import sys
        sys.modules['torch'] = sys.modules['vwl'] = None
        import numpy as np
        import onnxruntime
        from PIL import Image

        session = onnxruntime.InferenceSession({str(exported / 'model.onnx')!r})
        image = np.asarray(Image.open({str(tmp_path / 'scene.png')!r}).convert('RGB'), np.float32)
        mask = session.run(None, dict(image=image.transpose(2, 0, 1)[None]))[0][0].argmax(0)
        Image.fromarray(mask.astype(np.uint8)).save({str(tmp_path / 'mask.png')!r})
    """
    subprocess.run([sys.executable, '-c', textwrap.dedent(program)], check=True, cwd=tmp_path)
    ours = vwl.Segmenter.from_run(run.folder)(tmp_path / 'scene.png', flip=False).mask
    assert (np.asarray(Image.open(tmp_path / 'mask.png')) == ours).mean() >= 0.999


@pytest.mark.parametrize(
    'argv, said',
    [
        (['export', 'RUN', '--out', 'RUN'], 'is a run folder; give another --out'),
        (['export', 'nowhere', '--out', 'x'], 'nowhere: no such folder'),
        (['predict', 'nobody/birds', '--images', 'RUN', '--out', 'x'], 'could not be had from the Hugging Face Hub'),
        (['predict', 'EMPTY', '--images', 'RUN', '--out', 'x'], 'no network there'),
        (['predict', 'EXPORTED'], '--images'),
        (['run', 'DATA', '--backbone', 'timm/resnet5O'], "timm has no network 'resnet5O'; resnet5"),
        (['run', 'DATA', '--backbone', 'vgg'], 'timm/NAME'),
        (['run', 'DATA', '--backbone', 'mobilenet_v2', '--style', 'caffe'], 'torchvision for backbones other than'),
    ],
)
def test_bad_input(argv, said, run, exported, tmp_path, monkeypatch):
    "One line that says what is wrong."
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    (tmp_path / 'empty').mkdir()
    places = dict(RUN=run.folder, EMPTY=tmp_path / 'empty', DATA=run.train.root, EXPORTED=exported)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([str(places.get(a, a)) for a in argv])
    assert said in str(end.value) and '\n' not in str(end.value)


def _learns(rank, folder):
    "Gradients of half a batch in a DDP model of somebody else's program."
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    net = torch.nn.parallel.DistributedDataParallel(_net())
    images, labels = _batch()
    _loss(net, net.module, images[rank::2], labels[rank::2]).backward()
    if rank == 0:
        torch.save({n: p.grad for n, p in net.module.named_parameters()}, f'{folder}/grads.pt')
    torch.distributed.destroy_process_group()


class _Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.pool, self.head = torch.nn.Conv2d(3, 8, 3, 2), vwl.HybridPool2d(), torch.nn.Linear(8, 3)
        self.words = vwl.VisualWords(8, 6, 3)

    def forward(self, images):
        features = self.body(images).relu()
        return self.head(self.pool(features)), self.words(features)


def _net():
    torch.manual_seed(0)
    return _Net()


def _batch():
    torch.manual_seed(1)
    return torch.randn(4, 3, 21, 21), torch.randint(0, 2, (4, 3))


def _loss(net, parts, images, labels):
    from vwl.losses import classification_loss

    scores, found = net(images)
    return classification_loss(scores, labels) + sum(parts.words.losses(found, labels).values())


def test_parts_in_ddp(tmp_path):
    "Two processes' gradients are those of one with the whole batch."
    torch.multiprocessing.spawn(_learns, (str(tmp_path),), nprocs=2)
    net = _net()
    _loss(net, net, *_batch()).backward()
    for name, grad in torch.load(tmp_path / 'grads.pt').items():
        assert torch.allclose(grad, dict(net.named_parameters())[name].grad, atol=1e-6), name
