"Package metadata, read from settings.ini; the version is vwl.__version__."

import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=['='], interpolation=None)
parser.read(here / 'settings.ini', encoding='utf-8')
settings = parser['DEFAULT']


def lines(key):
    return settings[key].split('\n')[1:]


version = re.search(r'__version__ = "(.+)"', (here / 'vwl/__init__.py').read_text(encoding='utf-8')).group(1)

setup(
    name=settings['name'],
    version=version,
    description=settings['description'],
    author=settings['author'],
    license=settings['license'],
    keywords=settings['keywords'].split(', '),
    classifiers=lines('classifiers'),
    long_description=(here / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    packages=[*find_packages(include=['vwl', 'vwl.*']), 'vwl.templates'],
    package_data={'vwl.templates': ['*']},
    python_requires='>=' + settings['min_python'],
    install_requires=lines('requirements'),
    extras_require=dict(
        heic=lines('heic_requirements'),
        timm=lines('timm_requirements'),
        onnx=lines('onnx_requirements'),
        formats=lines('formats_requirements'),
        pydensecrf=lines('pydensecrf_requirements'),  # compiles
        test=lines('test_requirements'),
        dev=lines('test_requirements') + lines('pydensecrf_requirements'),
    ),
    entry_points=dict(console_scripts=lines('console_scripts')),
    zip_safe=False,
)
