"""How the number of tagged images, and tags that are missing, move the maps: generated scenes, the same number of
steps for all.

python studies/how_many_images.py [--out runs/how_many] [--results nbs/7_results/stored/own/how_many.json]
"""

import argparse
import random
from pathlib import Path
import numpy as np
import torch
from vwl.pixels import to_tensor
from vwl.engine.files import read_json, write_json
from vwl.engine.processes import Machine
from vwl.losses import classification_loss
from vwl.stages.classifier import load_classifier
from vwl.stages.pipeline import run_pipeline
from vwl.engine.settings import preset
from vwl.data.scenes import write_scenes


def scores(run, images):
    "(N, C) raw scores of a run's classifier."
    net = load_classifier(run)
    with torch.inference_mode():
        return torch.cat([net(to_tensor(images.image(i))[None]).classes for i in range(len(images))])


def doubted(run, truth, n=50):
    """Of the n untagged classes that the classifier believes in most, the share that is there; and the share if they
    were drawn at random.
    """
    P = scores(run, run.train).numpy()
    there = np.array([[c in truth[name] for c in run.train.classes] for name in run.train.names])[run.train.labels == 0]
    return dict(
        found=float(there[np.argsort(-P[run.train.labels == 0])[:n]].mean()), by_chance=float(there.mean()), looked_at=n
    )


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', default='runs/how_many')
    parser.add_argument('--results', default='nbs/7_results/stored/own/how_many.json')
    args = parser.parse_args()
    out, most, scored, rows = Path(args.out), 800, 200, []
    data = write_scenes(out / 'scenes', most + scored)
    names = [f'scene_{i:05}' for i in range(most + scored)]
    (data / 'lists').mkdir(exist_ok=True)
    (data / 'lists' / 'scored.txt').write_text('\n'.join(names[most:]) + '\n')
    table = (data / 'tags.csv').read_text().splitlines()
    for n, dropped in (50, 0), (100, 0), (200, 0), (400, 0), (800, 0), (800, 0.2), (800, 0.5):
        rng = random.Random(0)
        rows_of = [(line.split(',')[0], line.split(',')[1].split()) for line in table[1:]]
        kept = [
            f'{image},{" ".join(t for t in tags if int(image[6:11]) >= most or rng.random() >= dropped)}'
            for image, tags in rows_of
        ]
        (data / 'tags.csv').write_text('\n'.join([table[0], *kept]) + '\n')
        (data / 'lists' / f'{n}.txt').write_text('\n'.join(names[:n]) + '\n')
        recipe = preset(
            'toy', epochs=6 * most // n, train_list=f'lists/{n}.txt', score_list='lists/scored.txt', crf='none'
        )
        run = run_pipeline(data, out / f'{n}-{dropped}', recipe, Machine('cpu'), 'seeds')
        m, h = read_json(run.metrics_path), read_json(run.history_path('classifier'))
        unseen = classification_loss(scores(run, run.scored), torch.from_numpy(run.scored.labels)).item()
        rows.append(
            dict(
                images=n,
                dropped=dropped,
                a_class=round(float(run.train.labels.sum(0).mean())),
                epochs=recipe.training.epochs,
                steps=h['steps'],
                miou=m['cam_best']['miou'],
                threshold=m['cam_best']['threshold'],
                loss=h['losses'][-1]['cls'],
                unseen_loss=unseen,
            )
        )
        if dropped:
            rows[-1] |= doubted(run, {Path(image).stem: tags for image, tags in rows_of})
        print(rows[-1], flush=True)
        write_json(args.results, dict(rows=rows, scored=scored, command='python studies/how_many_images.py'))
    (data / 'tags.csv').write_text('\n'.join(table) + '\n')
