"""How strongly the word loss pulls at the backbone beside the class loss: norms of both gradients at the features, step
by step through a training with visual words.

    python studies/word_gradients.py FOLDER --recipe objects --weights FILE --out \
        nbs/7_results/stored/objects/gradients.json word_weight=1.0 word_weight=0.1
"""

import argparse
import ast
from pathlib import Path
import numpy as np
import torch
from vwl.data.images import read_folder
from vwl.engine.files import write_json
from vwl.engine.settings import preset
from vwl.losses import classification_loss
from vwl.models.training import train_step
from vwl.stages.classifier import classifier_trainer


def norms(net, images, labels):
    "Norms of the gradients of the weighted word loss and of the class loss at the features of a batch."
    with torch.no_grad():
        features = net.backbone(images).float()
    features.requires_grad_()
    found, weight = net.words(features), net.recipe.words.word_weight
    class_loss = classification_loss(net.class_head(net.pool(features)), labels)
    word_loss = weight * classification_loss(found.scores, found.labels)
    return [float(torch.autograd.grad(loss, features)[0].norm()) for loss in (word_loss, class_loss)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('fields', nargs='+', help='NAME=VALUE of a setting, one training each')
    parser.add_argument('--recipe', default='objects', help='preset to start from')
    parser.add_argument('--weights', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True)
    args = parser.parse_args()
    trainings = []
    for field in args.fields:
        name, value = field.split('=')
        recipe = preset(args.recipe, words='learned', weights=str(args.weights), **{name: ast.literal_eval(value)})
        train = read_folder(args.folder, recipe.images.classes, recipe.images.train_list)
        trainer, found = classifier_trainer(recipe, train), []

        def step(net, optimizer, images, labels, at, steps):
            found.append(norms(net, images, labels))
            return train_step(net, optimizer, images, labels, at, steps)

        trainer.step = step
        while not trainer.finished:
            trainer.train_epoch()
        word, classes = np.array(found).reshape(trainer.epochs, -1, 2).transpose(2, 0, 1)  # (epochs, steps) each
        ratio = np.median(word / classes, axis=1).tolist()
        print(field, 'word / class, median of each epoch:', ratio, flush=True)
        trainings.append(dict(field=field, ratio=ratio, losses=trainer.history))
    command = f'python studies/word_gradients.py FOLDER --recipe {args.recipe} {" ".join(args.fields)}'
    write_json(args.out, dict(command=command, images=len(train), trainings=trainings))


if __name__ == '__main__':
    main()
