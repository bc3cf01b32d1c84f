"""From notebooks to pages: without hidden cells and directives, with targets for equations, pictures' captions and
entries for public names.
"""

import ast
import importlib
import inspect
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from docutils import nodes
from fastcore.docments import DocmentTbl
from sphinx.addnodes import pending_xref
import colab

MENTION = re.compile(r'\b(?:Eq\.|Equations?)\s(?:\(\d+\)(?:(?:-|, | and | or )\(\d+\))*|\d+(?:-\d+)?)')


@dataclass
class Page:
    "What the site has to know of a notebook or Markdown page."

    doc: str  # Sphinx's name
    title: str
    lead: str = ''  # the quoted line below the title
    module: str = ''  # vwl.…, '' if it exports nothing
    names: tuple[str, ...] = ()  # public, in order of definition
    equations: tuple[tuple[int, tuple[str, ...]], ...] = ()  # number, and the public definitions right below it


def directives(cell):
    "The `#|` lines of a code cell as a dict, and the code without them; a line further in goes on with the one before."
    source = ''.join(cell['source'])
    lines = source.splitlines()
    whole = re.sub(r'\n#\|\s{3,}', ' ', source).splitlines()
    found = dict((re.match(r'#\|\s*([\w-]+):?\s*(.*)', l).groups()) for l in whole if l.startswith('#|'))
    return found, '\n'.join(l for l in lines if not l.startswith('#|')).strip()


def definitions(code, public):
    "(name, node) of each public name that some code defines at its top level."
    for node in ast.parse(code).body:
        names = (
            [getattr(n, 'id', '') for t in node.targets for n in getattr(t, 'elts', [t])]
            if isinstance(node, ast.Assign)
            else [node.target.id]
            if isinstance(node, ast.AnnAssign)
            else [getattr(node, 'name', '')]
        )
        yield from ((name, node) for name in names if name in public)


def survey(doc, notebook):
    "Read a notebook's `Page`."
    head, *rest = ''.join(notebook['cells'][0]['source']).strip().split('\n', 1)
    page = Page(doc, head.lstrip('# '), ''.join(rest).strip().lstrip('> '))
    names, tags, here, equations = [], [], [], []
    for cell in [*notebook['cells'], markdown('')]:
        found, code = directives(cell) if cell['cell_type'] == 'code' else ({}, '')
        if 'default_exp' in found:
            page.module = f'vwl.{found["default_exp"]}'
        if found.get('export') == '':
            here += [name for name, _ in definitions(code, importlib.import_module(page.module).__all__)]
            continue
        if here:
            equations += [(n, tuple(here)) for n in tags]
            names += here
            tags, here = [], []
        if cell['cell_type'] == 'markdown':
            tags += map(int, re.findall(r'\\tag\{(\d+)\}', ''.join(cell['source'])))
    page.names, page.equations = tuple(dict.fromkeys(names)), tuple(equations)
    return page


def span(numbers):
    "{2, 3, 4, 13} -> '2–4, 13'."
    starts, ends = ([n for n in sorted(numbers) if n + step not in numbers] for step in (-1, 1))
    return ', '.join(f'{a}–{b}' if a < b else str(a) for a, b in zip(starts, ends))


def menu_title(page):
    "'3.3 Visual words · Eq. 2–7, 13': section, title, and what of the paper is in it."
    sections = re.findall(r'\d+\.\d+', ' '.join(re.findall(r'Sections? [\d.]+(?:(?:, | and )[\d.]+)*', page.lead)))
    what = ([f'Eq. {span({n for n, _ in page.equations})}'] if page.equations else []) + re.findall(
        r'(?:Fig\.|Table|Algorithm) \d+', page.lead
    )
    return ' '.join([', '.join(sections), page.title]).strip() + (f' · {", ".join(what)}' if what else '')


def entry(module, name, node):
    "The API entry of a definition: signature, docstring, table of arguments; a class with its documented methods."
    obj, kind, signature, methods = getattr(importlib.import_module(module), name.split('.')[0]), 'data', '', []
    for part in name.split('.')[1:]:
        obj = inspect.getattr_static(obj, part)
    if isinstance(node, ast.FunctionDef):
        kind = 'property' if isinstance(obj, property) else 'method' if '.' in name else 'function'
        signature = arguments(node, skip='.' in name)
    elif isinstance(node, ast.ClassDef):
        kind, body = 'class', [n for n in node.body if isinstance(n, ast.FunctionDef)]
        signature = ''.join(arguments(n, skip=True) for n in body if n.name == '__init__')
        methods = [entry(module, f'{name}.{n.name}', n) for n in body if n.name[0] != '_' and ast.get_docstring(n)]
    text = [] if kind == 'data' else [ast.get_docstring(node) or '']
    if kind in ('function', 'method') or kind == 'class' and '__init__' in vars(obj):
        text.append(DocmentTbl(obj)._repr_markdown_())
    return '\n\n'.join([f'```{{py:{kind}}} {name}{signature}', *filter(None, text), '```', *methods])


def arguments(node, skip=False):
    "'(features, gamma=2.0)' of a function's definition; a method's without self."
    args = ast.parse(ast.unparse(node)).body[0].args
    for a in ast.walk(args):
        if isinstance(a, ast.arg):
            a.annotation = None
    if skip:
        args.args = args.args[1:]
    return f'({ast.unparse(args)})'


def render(notebook, page, url=''):
    "A notebook as the site shows it; with the repository's address, it can be opened in Colab."
    cells, prose = [], page.title
    for cell in notebook['cells']:
        if cell['cell_type'] == 'markdown':
            text = re.sub(
                r'^\$\$(?=(?:(?!\$\$).)*\\tag\{(\d+)\})', r'(eq-\1)=\n$$', ''.join(cell['source']), flags=re.M | re.S
            )
            if not text.startswith('#'):
                prose = re.split(r'(?<!Eq\.)(?<!Fig\.)(?<=[.!?])\s', plain(text))[0]
            cells.append(cell | {'source': text})
            continue
        found, code = directives(cell)
        if 'default_exp' in found:
            cells.append(markdown(f'```{{py:module}} {page.module}\n```'))
        if 'hide' in found or not code:
            continue
        caption = re.sub(r'^(["\'])(.*)\1$', r'\2', found.get('fig-cap', ''))
        shown = {'image': {'alt': plain(caption) or prose}}
        if caption:
            shown['figure'] = {
                'caption': caption,
                'name': f'{page.doc.replace("/", "-")}-{found.get("label", len(cells))}',
            }
        pictures = [o for o in cell['outputs'] if any(kind.startswith('image/') for kind in o.get('data', ()))]
        if caption and len(pictures) < len(cell['outputs']):  # the caption is the picture's alone
            cells.append(cell | {'source': code, 'outputs': [o for o in cell['outputs'] if o not in pictures]})
            cell = cell | {'outputs': pictures, 'metadata': {'tags': ['remove-input']}}
        cells.append(cell | {'source': code, 'metadata': {**cell['metadata'], 'mystnb': shown}})
        if 'export' in found:
            module = f'vwl.{found["export"]}' if found['export'] else page.module  # `#| export stages.table`
            entries = [entry(module, *d) for d in definitions(code, importlib.import_module(module).__all__)]
            if entries and module != page.module:
                entries = [current(module), *entries, current(page.module)]
            if entries:
                cells.append(markdown('\n\n'.join(entries)))
    if url:
        cells.insert(1, markdown(f'[Open in Colab]({colab.link(url, page.doc)})'))
    return notebook | {'cells': [cell | {'id': f'cell-{i}'} for i, cell in enumerate(cells)]}


def markdown(text):
    return {'cell_type': 'markdown', 'metadata': {}, 'source': text}


def current(module):
    "Say whose the entries that follow are."
    return f'```{{py:currentmodule}} {module}\n```'


def plain(text):
    "Markdown without its marks."
    return re.sub(r'\[([^\]]*)\]\([^)]*\)|[*`$\\]|^>\s*', r'\1', text.replace('\n', ' ')).strip()


def toctrees(parts, pages):
    "The sidebar: chapter -> its pages."

    def part(name, docs):
        return '\n'.join(
            [
                '```{toctree}',
                ':hidden:',
                f':caption: {name}',
                '',
                *(f'{menu_title(pages[d])} <{d}>' for d in docs),
                '```',
            ]
        )

    return '\n\n'.join(part(name, docs) for name, docs in parts.items())


def equation_table(pages):
    "Equation -> function -> page."
    rows = sorted(
        (n, ', '.join(f'{{py:obj}}`~{page.module}.{name}`' for name in names), page)
        for page in pages.values()
        for n, names in page.equations
    )
    return '\n'.join(
        [
            '| equation | function | page |',
            '|---|---|---|',
            *(f'| Eq. ({n}) | {names} | [{page.title}](/{page.doc}.ipynb) |' for n, names, page in rows),
        ]
    )


def name_lists(pages):
    "Every public name with its docstring's first line, by module."

    def line(module, name):
        obj = getattr(importlib.import_module(module), name)
        doc = (inspect.getdoc(obj) or '').split('\n')[0] if inspect.isroutine(obj) or inspect.isclass(obj) else ''
        return f'- {{py:obj}}`~{module}.{name}` {doc}'

    return '\n\n'.join(
        '\n'.join([f'## {p.module}', '', f'[{p.title}](/{p.doc}.ipynb)', '', *(line(p.module, n) for n in p.names)])
        for p in pages.values()
        if p.names
    )


def targets(pages, doc):
    "What names in backticks on a page mean: a plain word such as `train` is a function's on its own page alone."

    def full(page):
        return {name: f'{page.module}.{name}' for name in page.names}

    count = Counter(name for page in pages for name in page.names)
    names = {}
    for page in pages:
        names |= {n: f for n, f in full(page).items() if page.doc == doc or (count[n] == 1 and re.search('[A-Z_]', n))}
        names |= {f: f for f in full(page).values()} | ({page.module: page.module} if page.module else {})
    return names


def link(app, doctree):
    "Public names in backticks lead to their entries, equations' numbers to the equations."
    doc, numbers = app.env.docname, {n for page in app.pages.values() for n, _ in page.equations}
    names = {
        name: full for name, full in targets(app.pages.values(), doc).items() if doc.startswith('nbs/') or name == full
    }

    def ref(domain, kind, target, child):
        out = pending_xref('', child, refdomain=domain, reftype=kind, reftarget=target, refdoc=doc, refexplicit=True)
        out.line, out.source = 1, doctree.get('source', '')
        return out

    root = Path(app.srcdir).parent
    for node in list(doctree.findall(pending_xref)):
        path = node['reftarget'] = node['reftarget'].removeprefix(
            f'{root}/'
        )  # the notebooks' folder is a link, which Sphinx follows
        other = node.get('refdomain') == 'doc' and path not in app.env.found_docs
        if (
            other
            or node['reftype'] == 'myst'
            and any((folder / path).exists() for folder in (root, root / 'nbs', (root / doc).parent))
        ):
            node.replace_self(node.children)

    def outside(node):
        return not any(
            isinstance(p, (nodes.reference, pending_xref, nodes.title, nodes.literal)) for p in parents(node)
        )

    for node in [n for n in doctree.findall(nodes.literal) if outside(n)]:
        target = names.get(node.astext().removesuffix('()'))
        if target:
            node.replace_self(ref('py', 'obj', target, node.deepcopy()))
    for node in [n for n in doctree.findall(nodes.Text) if MENTION.search(n) and outside(n)]:
        out = []
        for piece in re.split(rf'({MENTION.pattern})', node):
            for bit in re.split(r'(\(?\d+\)?)', piece) if MENTION.fullmatch(piece) else [piece]:
                n = bit.strip('()')
                out.append(
                    ref('std', 'ref', f'eq-{n}', nodes.inline('', bit))
                    if n.isdigit() and int(n) in numbers and MENTION.fullmatch(piece)
                    else nodes.Text(bit)
                )
        node.parent.replace(node, out)


def one_id(app, doctree, docname):
    "The theme wraps formulas and gives the wrapper their ids as well."
    for node in doctree.findall(lambda n: isinstance(n, nodes.container) and 'math-wrapper' in n['classes']):
        node[0]['ids'] = []


def parents(node):
    while node.parent is not None:
        node = node.parent
        yield node


def chapters(nbs):
    """Title -> pages, as Sphinx names them, of the folders of `nbs`: each in the order of its numbers, the front page
    first.
    """

    def title(folder):
        return re.sub(r'^\d+_', '', folder.name).replace('_', ' ').capitalize()

    def pages(folder):
        return [
            f'nbs/{p.relative_to(nbs).with_suffix("")}'
            for p in sorted(folder.iterdir())
            if p.suffix in ('.ipynb', '.md') and p.name[0] != '.'
        ]

    folders = [f for f in sorted(nbs.iterdir()) if re.match(r'\d+_', f.name)]
    return {'Start': pages(nbs)} | {title(f): pages(f) for f in folders}


def collect(app):
    "Survey all pages in the order of the sidebar."
    source = Path(app.srcdir)
    app.parts = chapters(source / 'nbs') | {'Reference': app.config.reference}
    app.pages = {}
    for doc in [d for docs in app.parts.values() for d in docs]:
        notebook, text = source / f'{doc}.ipynb', source / f'{doc}.md'
        app.pages[doc] = (
            survey(doc, json.loads(notebook.read_text(encoding='utf-8')))
            if notebook.exists()
            else Page(doc, text.read_text(encoding='utf-8').split('\n')[0].lstrip('# '))
        )


def read(app, doc, source):
    "Notebooks become pages; the home page gets the sidebar, the reference pages their tables."
    if (Path(app.srcdir) / f'{doc}.ipynb').exists():
        source[0] = json.dumps(render(json.loads(source[0]), app.pages[doc], colab.address()))
    if doc == 'index':
        source[0] += '\n\n' + toctrees(app.parts, app.pages)
    if doc == 'equations':
        source[0] += '\n\n' + equation_table(app.pages)
    if doc == 'api':
        source[0] += '\n\n' + name_lists(app.pages)


def write_llms(app, error):
    "Write llms.txt: what the project is, and each page with a sentence, for programs that read sites."
    if error or app.builder.format != 'html':
        return
    lines = ['# vwl', '', '> From image tags to pixel masks: weakly supervised semantic segmentation.']
    for part, docs in app.parts.items():
        lines += ['', f'## {part}', '']
        for doc in docs:
            page = app.pages[doc]
            lead = f': {plain(page.lead)}' if page.lead else ''
            lines.append(f'- [{page.title}]({app.builder.get_target_uri(doc)}){lead}')
    (Path(app.outdir) / 'llms.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')


def setup(app):
    app.add_config_value('reference', [], 'env')
    app.connect('builder-inited', collect)
    app.connect('source-read', read)
    app.connect('doctree-read', link)
    app.connect('doctree-resolved', one_id)
    app.connect('build-finished', write_llms)
    return dict(parallel_read_safe=True)
