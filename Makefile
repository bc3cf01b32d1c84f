# Every target sets up what it needs: `make demo` and `make test` work on a fresh clone, each by itself.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# the published CRF, which some tests compare with, has to be compiled
EXTRAS := $(if $(shell command -v g++ || command -v c++ || command -v clang++),dev,test)

.PHONY: demo test lowest formats docs lab export clean

$(VENV)/installed: settings.ini setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@

## all of it on generated pictures: tags -> classifier -> CAMs -> masks, a table and runs/demo/report.html
demo: $(VENV)/installed
	$(BIN)/vwl demo

## lines and floors, every notebook, every test
test: $(VENV)/installed
	$(BIN)/ruff check --quiet .
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/nbdev-test --n-workers 2 --timing
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 20

## tests with the lowest versions of the libraries that settings.ini allows, in an environment of their own
lowest:
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-lowest/bin/python tests/lowest.py > $(VENV)-lowest/versions.txt
	$(VENV)-lowest/bin/python -m pip install --quiet -r $(VENV)-lowest/versions.txt
	OMP_NUM_THREADS=1 $(VENV)-lowest/bin/python -m pytest -n 2 --dist loadfile $(addprefix tests/test_,$(addsuffix .py,\
		golden properties crf precision own_settings own_photographs segmenter datasets experiments report))

## the tests of other tools' formats with Datumaro, which wants an older Pillow, in an environment of their own
formats:
	$(PYTHON) -m venv $(VENV)-formats
	$(VENV)-formats/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-formats/bin/python -m pip install --quiet --editable '.[formats]' pytest label-studio-converter
	OMP_NUM_THREADS=1 $(VENV)-formats/bin/python -m pytest tests/test_formats.py

## the site, from the notebooks as they are stored: _site/index.html
docs: $(VENV)/installed
	rm -rf build/docs
	$(BIN)/sphinx-build -q -W --keep-going -d build/docs/doctrees docs build/docs/site
	rm -rf _site && mv build/docs/site _site

## JupyterLab on the notebooks
lab: $(VENV)/installed
	$(BIN)/jupyter lab nbs

## after editing a notebook
export: $(VENV)/installed
	$(BIN)/nbdev-export
	$(BIN)/nbdev-clean

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-formats runs _site build *.egg-info
