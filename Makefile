# `make` lists the targets.
#
# ARGS    settings added to a command: make train ARGS="lora.rank=16 loop=long"
# VENV    the virtual environment: make test VENV=/tmp/env
# PYTHON  the interpreter that creates it: make setup PYTHON=python3.12

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV   ?= .venv
PYTHON ?= python3
ARGS   ?=

BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
OLDEST := .venv-oldest
DEMO  := runs/demo
RUN   := $(BIN)/python -m pixelpersona.

.PHONY: help
help:
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@printf '\n%s\n' 'ARGS adds settings to a command: make train ARGS="lora.rank=16 loop=long"'

##@ Setup and checks

.PHONY: setup
setup: $(STAMP)  ## create .venv and install the pinned versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make setup PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing the pinned versions into $(VENV); the first time takes some minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	$(BIN)/python -m pixelpersona.pixel.compiled
	@touch $@

.PHONY: test
test: $(STAMP)  ## run the quick tests, on up to four cores
	$(BIN)/python -m pytest -q -n auto --maxprocesses=4 --dist=loadfile $(ARGS)

.PHONY: test-slow
test-slow: $(STAMP)  ## run the tests that take longer than 10 seconds each
	$(BIN)/python -m pytest -q -m slow $(ARGS)

.PHONY: test-corpus
test-corpus: $(STAMP)  ## draw every file of a folder of images: PIXELPERSONA_CORPUS=DIR make test-corpus
	@[ -n "$${PIXELPERSONA_CORPUS:-}" ] || { echo "test-corpus: set PIXELPERSONA_CORPUS to a folder of images" >&2; exit 2; }
	$(BIN)/python -m pytest -q -m corpus tests/pixel/test_corpus.py $(ARGS)

.PHONY: test-oldest
test-oldest:  ## run the quick tests with the oldest versions that pyproject.toml accepts (.venv-oldest)
	$(PYTHON) -m venv $(OLDEST)
	$(PYTHON) -m tests.lower_bounds > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pytest -q $(ARGS)

.PHONY: lint
lint: $(STAMP)  ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

##@ Demo

# Nothing is downloaded while the demo runs, and libraries print no advice.
demo: export HF_HUB_OFFLINE = 1
demo: export TOKENIZERS_PARALLELISM = false
demo: export WANDB_SILENT = true
demo: export PYTHONWARNINGS = ignore::DeprecationWarning,ignore::FutureWarning

.PHONY: demo
demo: $(STAMP)  ## train LoRAs of rank 4 and 8, compare them, draw a portrait, write a report (runs/demo); continues after Ctrl-C
	$(RUN)prepare experiment=demo
	OMP_NUM_THREADS=1 $(RUN)train -m lora.rank=4,8 experiment=demo loop=demo hydra=joblib
	$(RUN)train experiment=demo method=supervised
	$(RUN)evaluate experiment=demo
	@$(BIN)/python -c "from PIL import Image; from skimage import data; Image.fromarray(data.astronaut()).save('$(DEMO)/astronaut-photo.png')"
	$(RUN)stylize experiment=demo photo=$(DEMO)/astronaut-photo.png out=$(DEMO)/astronaut.png adapter.path=$(DEMO)/lora-r8
	$(RUN)report experiment=demo

##@ Fine-tuning

.PHONY: train
train: $(STAMP)  ## train one LoRA: make train ARGS="lora.rank=8"
	$(RUN)train $(ARGS)

.PHONY: sweep
sweep: $(STAMP)  ## train LoRAs of rank 4 and 8; finished runs are skipped
	$(RUN)train -m lora.rank=4,8 $(ARGS)

##@ Looking at runs

.PHONY: eval
eval: $(STAMP)  ## compare every run under runs/ with the untouched base
	$(RUN)evaluate $(ARGS)

.PHONY: report
report: $(STAMP)  ## write runs/report.html
	$(RUN)report $(ARGS)

# One `wandb sync` call for all folders: W&B then uploads the parts of a resumed run in order and skips what it
# has uploaded before. ARGS=--include-online adds online runs whose connection was lost.
.PHONY: sync
sync: $(STAMP)  ## upload the offline Weights & Biases runs under runs/
	@if [ -z "$${WANDB_API_KEY:-}" ] && ! grep -qs wandb "$${NETRC:-$$HOME/.netrc}"; then \
		echo "sync: no Weights & Biases key; set WANDB_API_KEY or run $(BIN)/wandb login" >&2; exit 2; fi
	@folders=(); while IFS= read -r folder; do folders+=("$$folder"); done < <( \
		find runs -type d \( -path '*/wandb/offline-run-*' -o -path '*/wandb/run-*' \) -prune 2>/dev/null | sort); \
	if [ $${#folders[@]} -eq 0 ]; then echo "sync: no Weights & Biases runs under runs/"; exit 0; fi; \
	$(BIN)/wandb sync $(ARGS) "$${folders[@]}"

.PHONY: dashboard
dashboard: $(STAMP)  ## save a workspace and a report of the runs at Weights & Biases
	$(RUN)dashboard $(ARGS)

##@ Studies

# experiments/<study>/recipe.sha256 is the digest of every file that decides the study's numbers: settings, base,
# feature network and photos. A study runs when the digest of the present files differs; file times do not matter.
# The study's texts (conf/study/) and the code are not part of it: rm experiments/<study>/recipe.sha256 to rerun.

STUDIES := lora_recipe rank_sweep palette_size classic_aligned strength sampler tradeoff

# The files that every study's training and evaluation are composed from.
STUDY_CONF := train evaluate dataset/portraits pixelate/aligned pixelate/drawn augment/default model/tiny \
	finetune/tiny method/lora lora/r4 optimizer/adamw lr_schedule/cosine loss/mse loop/default sampler/default \
	postprocess/plain eval/full eval/study tracker/none tracker/wandb
STUDY_FOLDERS := $(addprefix pixelpersona/assets/,tiny persona portraits)

# The further files of each study.
lora_recipe_FILES     := conf/experiment/lora_recipe.yaml
rank_sweep_FILES      := conf/experiment/rank_sweep.yaml conf/method/supervised.yaml
palette_size_FILES    := conf/experiment/palette_size.yaml conf/eval/palettes.yaml
classic_aligned_FILES := conf/experiment/classic_aligned.yaml conf/eval/grids.yaml $(addprefix conf/pixelate/,unaligned.yaml classic.yaml)
tradeoff_FILES        := conf/experiment/tradeoff.yaml conf/eval/tradeoff.yaml
sampler_FILES         := conf/experiment/sampler.yaml conf/eval/samplers.yaml pixelpersona/assets/lora/pytorch_lora_weights.safetensors
strength_FILES        := conf/experiment/strength.yaml conf/eval/strengths.yaml pixelpersona/assets/lora/pytorch_lora_weights.safetensors

# $(call digest,STUDY): the digest of its files. macOS has shasum instead of sha256sum.
SHA256 = $$(command -v sha256sum || echo shasum -a 256)
digest = { printf '%s\n' $($(1)_FILES) $(STUDY_CONF:%=conf/%.yaml); find $(STUDY_FOLDERS) -type f; } \
	| LC_ALL=C sort | xargs $(SHA256) | $(SHA256) | cut -c 1-64
# $(call changed,STUDY): FORCE when the digest differs from the recorded one, else nothing.
changed = $(shell $(call digest,$(1)) | cmp -s - experiments/$(1)/recipe.sha256 || echo FORCE)

# $(call begin,STUDY): deletes the runs of another recipe; those of an interrupted call are continued.
begin = digest=$$($(call digest,$(1))); if [ "$$(cat runs/$(1)/unfinished.sha256 2>/dev/null)" != "$$digest" ]; then \
	rm -rf runs/$(1); mkdir -p runs/$(1); echo "$$digest" > runs/$(1)/unfinished.sha256; fi
# $(call finish,STUDY): records the recipe.
finish = mv runs/$(1)/unfinished.sha256 experiments/$(1)/recipe.sha256

.PHONY: studies
studies: $(STUDIES:%=study-%)  ## run the studies under experiments/ whose recipe has changed; study-NAME runs one

.PHONY: $(STUDIES:%=study-%)
$(STUDIES:%=study-%): study-%: experiments/%/recipe.sha256

.PHONY: FORCE
FORCE:

experiments/%/recipe.sha256: export HF_HUB_OFFLINE = 1
experiments/%/recipe.sha256: export TOKENIZERS_PARALLELISM = false
experiments/%/recipe.sha256: export PYTHONWARNINGS = ignore::DeprecationWarning,ignore::FutureWarning

# Expand the prerequisites below only when their target is built: other commands do not compute digests.
.SECONDEXPANSION:

experiments/lora_recipe/recipe.sha256: $$(call changed,lora_recipe) | $(STAMP)
	@$(call begin,lora_recipe)
	$(RUN)train -m experiment=lora_recipe lora.rank=4,8 loop.num_samples=0 tracker=none
	$(RUN)train experiment=lora_recipe lora.rank=8 optimizer.lr=8e-3 name=lora-r8-lr_8e-3 loop.num_samples=0 tracker=none
	$(RUN)train experiment=lora_recipe lora.rank=4 optimizer.lr=8e-3 name=lora-r4-lr_8e-3 loop.num_samples=0 tracker=none
	$(RUN)train experiment=lora_recipe lora.rank=4 optimizer.lr=4e-3 name=lora-r4-lr_4e-3 loop.num_samples=0 tracker=none
	$(RUN)train experiment=lora_recipe lora.rank=4 loop.num_steps=225 name=lora-r4-steps_225 loop.num_samples=0 tracker=none
	$(RUN)train experiment=lora_recipe lora.rank=4 loop.num_steps=900 name=lora-r4-steps_900 loop.num_samples=0 tracker=none
	$(RUN)train experiment=lora_recipe lora.rank=4 optimizer.lr=8e-3 loop.batch_size=8 loop.num_steps=250 name=lora-r4-batch_8-steps_250-lr_8e-3 loop.num_samples=0 tracker=none
	$(RUN)train experiment=lora_recipe lora.rank=4 lora.alpha=8 name=lora-r4-alpha_8 loop.num_samples=0 tracker=none
	$(RUN)train experiment=lora_recipe lora.rank=4 lora.targets=[to_q,to_k,to_v,to_out.0] name=lora-r4-attention loop.num_samples=0 tracker=none
	$(RUN)train experiment=lora_recipe lora.rank=4 loss.residual_shift_probability=1 name=lora-r4-path_only loop.num_samples=0 tracker=none
	$(RUN)evaluate experiment=lora_recipe eval.split=val
	$(RUN)report study=lora_recipe
	@$(call finish,lora_recipe)

experiments/rank_sweep/recipe.sha256: $$(call changed,rank_sweep) | $(STAMP)
	@$(call begin,rank_sweep)
	$(RUN)train -m experiment=rank_sweep
	$(RUN)train method=supervised paths.runs=runs/rank_sweep tracker=none
	$(RUN)evaluate experiment=rank_sweep
	$(RUN)report study=rank_sweep
	@$(call finish,rank_sweep)

experiments/palette_size/recipe.sha256: $$(call changed,palette_size) | $(STAMP)
	@$(call begin,palette_size)
	$(RUN)train -m experiment=palette_size
	$(RUN)evaluate experiment=palette_size eval=palettes
	$(RUN)report study=palette_size
	@$(call finish,palette_size)

experiments/classic_aligned/recipe.sha256: $$(call changed,classic_aligned) | $(STAMP)
	@$(call begin,classic_aligned)
	$(RUN)train -m experiment=classic_aligned
	$(RUN)evaluate experiment=classic_aligned eval=grids
	$(RUN)report study=classic_aligned
	@$(call finish,classic_aligned)

experiments/tradeoff/recipe.sha256: $$(call changed,tradeoff) | $(STAMP)
	@$(call begin,tradeoff)
	$(RUN)train -m experiment=tradeoff
	$(RUN)evaluate experiment=tradeoff eval=study
	$(RUN)evaluate experiment=tradeoff eval=tradeoff
	$(RUN)report study=tradeoff
	@$(call finish,tradeoff)

# Evaluates the packaged LoRA as a run.
experiments/strength/recipe.sha256: $$(call changed,strength) | $(STAMP)
	@$(call begin,strength)
	mkdir -p runs/strength/lora-r8
	cp pixelpersona/assets/lora/* runs/strength/lora-r8/
	$(RUN)evaluate experiment=strength eval=study
	$(RUN)evaluate experiment=strength eval=strengths
	$(RUN)report study=strength
	@$(call finish,strength)

# Evaluates the packaged LoRA as a run.
experiments/sampler/recipe.sha256: $$(call changed,sampler) | $(STAMP)
	@$(call begin,sampler)
	mkdir -p runs/sampler/lora-r8
	cp pixelpersona/assets/lora/* runs/sampler/lora-r8/
	$(RUN)evaluate experiment=sampler eval=study
	$(RUN)evaluate experiment=sampler eval=samplers
	$(RUN)report study=sampler
	@$(call finish,sampler)

##@ Cleaning

.PHONY: clean
clean:  ## remove caches, prepared pairs and what tools left behind (not runs/, not .venv)
	rm -rf .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . \( -path ./$(VENV) -o -path './.venv*' -o -path ./runs \) -prune -o -type d -name __pycache__ -print0 | xargs -0 rm -rf

.PHONY: clean-runs
clean-runs:  ## delete runs/: trained weights, checkpoints, results, reports, offline W&B runs
	@if [ ! -d runs ]; then echo "clean-runs: there is no runs/"; exit 0; fi; \
	echo "clean-runs: deletes"; du -h -d 1 runs; rm -rf runs
