"Print the lowest versions that settings.ini allows, for pip: `make lowest` installs them and runs tests with them."

from configparser import ConfigParser
from pathlib import Path

settings = ConfigParser(delimiters=['='], interpolation=None)
settings.read(Path(__file__).parents[1] / 'settings.ini', encoding='utf-8')
tools = 'pytest', 'pytest-xdist', 'hypothesis', 'nbdev'
for kind in 'requirements', 'timm_requirements', 'onnx_requirements', 'test_requirements':
    for line in settings['DEFAULT'][kind].strip().split('\n'):
        name, _, version = line.strip().partition('>=')
        if kind != 'test_requirements' or name in tools:
            version = version.partition(',')[0]
            print(f'{name}=={version}' + ('.*' if version.count('.') < 2 else ''))
