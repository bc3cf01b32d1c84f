"""The paper's tables on photographs in one go: what `vwl experiments run` does, with the preset `animals` (five animals
of VOC) or `objects` (fourteen objects of MSRC).

    python studies/sweep.py FOLDER --weights DIR [--out runs/sweep] [--list small]
    python studies/sweep.py FOLDER --weights DIR --list words --out runs/words
    python studies/sweep.py FOLDER --weights DIR --list objects --out runs/objects

FOLDER has VOC's layout with tags.csv, or is MSRC's with lists/; DIR has the files that `NETWORKS` of vwl.apps.rows
names. Without --list, a GPU gets the list `whole`, a CPU the list `small`; LISTS says what is in each. Runs lie in
--out. Their figures go into the folder that RESULTS has for the list, or into --results, one file each. What is in
either is not run again; what was stopped goes on. The same command may be given several times at once, on a CPU with
OMP_NUM_THREADS=1, on several GPUs each with its CUDA_VISIBLE_DEVICES: they share the work.
"""

import argparse
import shutil
from pathlib import Path
import torch
import torch.nn.functional as F
from vwl.apps.claims import GENTLE, LONGER
from vwl.apps.compare import draw_figures, load_table
from vwl.apps.experiments import run_experiments
from vwl.apps.rows import EXPERIMENTS, HEADLINE, NETWORKS, row_recipe
from vwl.apps.stored_results import data_key, run_key
from vwl.engine.files import write_json
from vwl.engine.processes import Machine
from vwl.engine.workers import print_messages
from vwl.stages.classifier import load_classifier
from vwl.stages.run import open_run
from vwl.apps.word_figures import silhouette, survey_words
from vwl.words import random_codebook

TWICE = dict(lr_backbone=0.001, lr_heads=0.01)
MAPS = tuple(
    sorted(
        (n for n, e in EXPERIMENTS.items() if e.until == 'seeds' and e.data == 'voc'),
        key=lambda n: len(EXPERIMENTS[n].rows),
    )
)  # short tables are whole first
ROWS = tuple(
    dict.fromkeys(r.name for n in MAPS for r in EXPERIMENTS[n].rows if 'backbone' not in r.settings)
)  # ResNets belong to VOC as published
OBJECTS = dict(  # tables of MSRC, the rows that need no other than Table 4's first
    table4=HEADLINE,
    table8=('GWRP', 'LSE'),
    figure13=('VWL-L, HP without GAP', 'HP without GAP'),
    table5=('VWL-M, random', 'VWL-L, sampled'),
    table9=('words by HP',),
)
RESULTS = dict(objects='objects', words='words')  # list -> folder in stored/; others: photographs
LISTS = dict(  # (network, experiments, rows, seeds, fields), in the order in which they are run
    small=[
        ('mobilenet_v2', ['table4'], HEADLINE, 3, {}),
        ('densenet169', ['table4'], HEADLINE, 1, {}),
        ('mobilenet_v2', MAPS, ROWS, 1, {}),
        ('mobilenet_v2', ['table10'], ('k = 16',), 3, {}),
        ('densenet169', ['table4'], HEADLINE, 3, {}),
        ('mobilenet_v2', ['table4'], ('GAP', 'HP'), 3, TWICE),
    ],
    others=[
        (network, ['table4'], ('GAP', 'HP', 'HP + VWL-L'), 1, {}) for network in ('efficientnet_lite0', 'resnet50_c4')
    ],
    words=[('mobilenet_v2', ['table6'], ('VWL-L', 'VWL-M'), 3, {}), ('mobilenet_v2', ['table6'], ('VWE',), 1, {})],
    objects=[
        ('mobilenet_v2', ['table4'], ('GAP', 'HP', 'HP + VWL-L'), 3, {}),
        ('mobilenet_v2', ['table4'], ('HP + VWL-L',), 3, GENTLE),
        ('mobilenet_v2', ['table4'], ('GAP', 'HP', 'HP + VWL-L'), 3, LONGER),
        ('mobilenet_v2', ['table4'], ('HP + VWL-M',), 1, LONGER),
        ('efficientnet_lite0', ['table4'], ('GAP', 'HP', 'HP + VWL-L'), 3, {}),
        ('efficientnet_lite0', ['table4'], ('HP + VWL-L',), 1, GENTLE),
        *(('mobilenet_v2', [table], rows, 1, {}) for table, rows in OBJECTS.items()),
        ('resnet50_c4', ['table4'], ('GAP', 'HP', 'HP + VWL-L'), 3, {}),
        ('densenet169', ['table4'], ('GAP', 'HP', 'HP + VWL-L'), 1, dict(epochs=8)),
        ('mobilenet_v2', ['table4'], ('HP',), 2, dict(crop_resize='torch')),
        ('mobilenet_v2', ['table4'], HEADLINE, 3, {}),
        ('mobilenet_v2', ['table4'], ('VWL-L without HP',), 1, {}),
    ],
    whole=[(network, MAPS, ROWS, 3, fields) for network in ('mobilenet_v2', 'densenet169') for fields in ({}, TWICE)],
)


def common(network, weights, fields):
    "Fields of all rows of a network, beside the preset."
    return NETWORKS[network] | dict(weights=str(weights / NETWORKS[network]['weights'])) | fields


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--weights', type=Path, required=True, help='folder of both files')
    parser.add_argument('--out', type=Path, default=Path('runs/sweep'))
    parser.add_argument('--list', choices=LISTS, help='what to run; whole where there is a GPU, else small')
    parser.add_argument('--results', type=Path, help='folder that keeps figures; else that of the list')
    parser.add_argument('--workers', type=int, default=0, help='processes for images')
    args = parser.parse_args()
    kind = args.list or ('whole' if torch.cuda.is_available() else 'small')
    base = 'objects' if kind == 'objects' else 'animals'
    args.results = args.results or Path('nbs/7_results/stored') / RESULTS.get(kind, 'photographs')
    if (args.results / 'results').is_dir():
        shutil.copytree(args.results / 'results', args.out / 'results', dirs_exist_ok=True)
    print(
        f'the {kind} list:',
        *(
            f'{b}, {len(rows)} rows of {", ".join(names)}, {n} seeds {more or ""}'
            for b, names, rows, n, more in LISTS[kind]
        ),
        sep='\n  ',
        flush=True,
    )
    for network, names, rows, seeds, fields in LISTS[kind]:
        settings = common(network, args.weights, fields)

        def said(line):
            print(line, flush=True)
            keep(args)

        print_messages(said)
        run_experiments(
            names, args.folder, args.out, base, settings, range(1, seeds + 1), rows, Machine(workers=args.workers)
        )
        keep(args)
        for name in names:
            only = [r.name for r in EXPERIMENTS[name].rows if r.name in rows]
            table = load_table(name, args.out, base, settings, only)
            print(f'\n{name}, {network} {fields or ""}\n{table}', flush=True)
    draw(args, base)


def keep(args):
    "Copy figures of finished runs."
    if (args.out / 'results').is_dir():
        shutil.copytree(args.out / 'results', args.results / 'results', dirs_exist_ok=True)


def about_words(run):
    """How far a codebook came from its start, and how alike its words are: means of cosines, and of their sizes; how
    tight the words' regions are.
    """
    book, r = F.normalize(load_classifier(run).words.codebook.detach()), run.recipe
    start = F.normalize(random_codebook(r.words.n_words, book.shape[1], torch.Generator().manual_seed(r.images.seed)))
    among = (book @ book.T)[~torch.eye(len(book), dtype=bool)].abs().mean()
    return dict(
        seed=r.images.seed,
        with_start=float((book * start).sum(1).mean()),
        among=float(among),
        silhouette=silhouette(survey_words(run)),
    )


def draw(args, base):
    """Pictures of the rows of Table 4 with the first seed, by the first network, and what became of their words with
    each.
    """
    settings, runs, words = common('mobilenet_v2', args.weights, {}), {}, {}
    digests = data_key(args.folder, row_recipe(EXPERIMENTS['table4'].rows[1], base, settings, 1))
    for row in EXPERIMENTS['table4'].rows:
        for seed in 1, 2, 3:
            folder = args.out / 'runs' / run_key(row_recipe(row, base, settings, seed), digests)
            if not (folder / 'metrics.json').is_file():
                continue
            run = open_run(folder)
            if seed == 1:
                runs[row.name] = run
            if run.recipe.words.kind != 'none':
                words.setdefault(row.name, []).append(about_words(run))
    if runs:
        draw_figures(runs, args.results)
    if words:
        write_json(args.results / 'words.json', words)


if __name__ == '__main__':
    main()
