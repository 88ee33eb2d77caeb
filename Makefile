# Every command of the project. `make` lists them.
#
# ARGS adds settings to a command: make train ARGS="lora.rank=16 loop=long"
# VENV is the environment to use, PYTHON the interpreter that makes it: make test VENV=/tmp/env PYTHON=python3.12

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV   ?= .venv
PYTHON ?= python3
ARGS   ?=

BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO  := runs/demo
DOOR  := $(BIN)/python -m pixelpersona.

.PHONY: help
help:  ## list the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: $(STAMP)  ## make .venv and install the pinned versions into it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make setup PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing the pinned versions into $(VENV), some minutes the first time"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	$(BIN)/python -m pixelpersona.pixel.compiled
	@touch $@

# Nothing is fetched while the demo runs, and libraries keep to themselves.
demo: export HF_HUB_OFFLINE = 1
demo: export TOKENIZERS_PARALLELISM = false
demo: export WANDB_SILENT = true
demo: export PYTHONWARNINGS = ignore::DeprecationWarning,ignore::FutureWarning

.PHONY: demo
demo: $(STAMP)  ## train LoRA at rank 4 and 8 on the packaged base, compare, report (runs/demo)
	rm -rf $(DEMO)
	$(DOOR)prepare experiment=demo timing=$(DEMO)/timing.json
	$(DOOR)train -m lora.rank=4,8 experiment=demo timing=$(DEMO)/timing.json
	$(DOOR)train experiment=demo method=translator timing=$(DEMO)/timing.json
	$(DOOR)evaluate experiment=demo timing=$(DEMO)/timing.json
	@$(BIN)/python -c "from PIL import Image; from skimage import data; Image.fromarray(data.astronaut()).save('$(DEMO)/astronaut-photo.png')"
	$(DOOR)stylize photo=$(DEMO)/astronaut-photo.png out=$(DEMO)/astronaut.png lora.path=$(DEMO)/lora-r8 timing=$(DEMO)/timing.json
	$(DOOR)report experiment=demo timing=$(DEMO)/timing.json

.PHONY: test
test: $(STAMP)  ## run the quick tests
	$(BIN)/python -m pytest -q $(ARGS)

.PHONY: test-slow
test-slow: $(STAMP)  ## run the tests that take longer than 10 seconds each
	$(BIN)/python -m pytest -q -m slow $(ARGS)

.PHONY: lint
lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: train
train: $(STAMP)  ## train one LoRA: make train ARGS="lora.rank=8"
	$(DOOR)train $(ARGS)

.PHONY: sweep
sweep: $(STAMP)  ## train LoRA at rank 4 and 8, or what is missing of it
	$(DOOR)train -m lora.rank=4,8 $(ARGS)

.PHONY: eval
eval: $(STAMP)  ## score every trained variant beside the untouched base
	$(DOOR)evaluate $(ARGS)

.PHONY: report
report: $(STAMP)  ## write the HTML report
	$(DOOR)report $(ARGS)

# All folders in one call: W&B then uploads the parts of a resumed run one after the other, as they were begun,
# and leaves out what it has uploaded. ARGS=--include-online adds runs whose server went away.
.PHONY: sync
sync: $(STAMP)  ## upload the offline Weights & Biases runs under runs/
	@if [ -z "$${WANDB_API_KEY:-}" ] && ! grep -qs wandb "$${NETRC:-$$HOME/.netrc}"; then \
		echo "sync: no Weights & Biases key; set WANDB_API_KEY or run $(BIN)/wandb login" >&2; exit 2; fi
	@folders=(); while IFS= read -r folder; do folders+=("$$folder"); done < <( \
		find runs -type d \( -path '*/wandb/offline-run-*' -o -path '*/wandb/run-*' \) -prune 2>/dev/null | sort); \
	if [ $${#folders[@]} -eq 0 ]; then echo "sync: no runs of Weights & Biases under runs/"; exit 0; fi; \
	$(BIN)/wandb sync $(ARGS) "$${folders[@]}"

.PHONY: dashboard
dashboard: $(STAMP)  ## publish a workspace and a report of the runs at Weights & Biases
	$(DOOR)publish $(ARGS)

# --- the lab notebook -----------------------------------------------------------------------------------
#
# experiments/<study>/recipe.sha256 is the digest of all files that decided the study's numbers. A study runs
# when it is another than that of the files now: by content, because a checkout has times of its own. The texts
# of an entry (conf/notebook/) and the code are no part of it; `rm experiments/<study>/recipe.sha256` runs it anew.

STUDIES := lora_recipe rank_sweep palette_size classic_aligned strength sampler tradeoff

STUDY_CONF := train evaluate dataset/portraits pixelate/aligned pixelate/drawn augment/default model/tiny method/lora \
	lora/r4 optimizer/adamw lr_schedule/cosine loss/mse loop/default sampler/default finish/plain eval/study
STUDY_FOLDERS := $(addprefix pixelpersona/assets/,tiny persona portraits)

# Of each study: what it has beside these.
lora_recipe_FILES     := conf/experiment/lora_recipe.yaml conf/eval/full.yaml conf/tracker/none.yaml
rank_sweep_FILES      := conf/experiment/rank_sweep.yaml
palette_size_FILES    := conf/experiment/palette_size.yaml conf/eval/palettes.yaml
classic_aligned_FILES := conf/experiment/classic_aligned.yaml conf/eval/grids.yaml $(addprefix conf/pixelate/,unaligned.yaml classic.yaml)
tradeoff_FILES        := conf/experiment/tradeoff.yaml conf/eval/tradeoff.yaml
sampler_FILES         := conf/experiment/sampler.yaml conf/eval/samplers.yaml pixelpersona/assets/lora/pytorch_lora_weights.safetensors
strength_FILES        := conf/experiment/strength.yaml conf/eval/strengths.yaml pixelpersona/assets/lora/pytorch_lora_weights.safetensors

# $(call digest,STUDY): one line. macOS has shasum.
SHA256 = $$(command -v sha256sum || echo shasum -a 256)
digest = { printf '%s\n' $($(1)_FILES) $(STUDY_CONF:%=conf/%.yaml); find $(STUDY_FOLDERS) -type f; } \
	| LC_ALL=C sort | xargs $(SHA256) | $(SHA256) | cut -c 1-64
# $(call changed,STUDY): FORCE, or nothing when the recorded digest is that of now.
changed = $(shell $(call digest,$(1)) | cmp -s - experiments/$(1)/recipe.sha256 || echo FORCE)

.PHONY: studies
studies: $(STUDIES:%=study-%)  ## run the studies under experiments/ whose recipe has changed (study-rank_sweep: that one)

.PHONY: $(STUDIES:%=study-%)
$(STUDIES:%=study-%): study-%: experiments/%/recipe.sha256

.PHONY: FORCE
FORCE:

experiments/%/recipe.sha256: export HF_HUB_OFFLINE = 1
experiments/%/recipe.sha256: export TOKENIZERS_PARALLELISM = false
experiments/%/recipe.sha256: export PYTHONWARNINGS = ignore::DeprecationWarning,ignore::FutureWarning

# Prerequisites below are expanded when their target is asked for: no other command waits for digests.
.SECONDEXPANSION:

experiments/lora_recipe/recipe.sha256: $$(call changed,lora_recipe) | $(STAMP)
	rm -rf runs/lora_recipe
	$(DOOR)train -m experiment=lora_recipe lora.rank=4,8 loop.num_samples=0 tracker=none
	$(DOOR)train experiment=lora_recipe lora.rank=8 optimizer.lr=8e-3 name=lora-r8-lr_8e-3 loop.num_samples=0 tracker=none
	$(DOOR)train experiment=lora_recipe lora.rank=4 optimizer.lr=8e-3 name=lora-r4-lr_8e-3 loop.num_samples=0 tracker=none
	$(DOOR)train experiment=lora_recipe lora.rank=4 optimizer.lr=4e-3 name=lora-r4-lr_4e-3 loop.num_samples=0 tracker=none
	$(DOOR)train experiment=lora_recipe lora.rank=4 loop.num_steps=225 name=lora-r4-steps_225 loop.num_samples=0 tracker=none
	$(DOOR)train experiment=lora_recipe lora.rank=4 loop.num_steps=900 name=lora-r4-steps_900 loop.num_samples=0 tracker=none
	$(DOOR)train experiment=lora_recipe lora.rank=4 optimizer.lr=8e-3 loop.batch_size=8 loop.num_steps=250 name=lora-r4-batch_8-steps_250-lr_8e-3 loop.num_samples=0 tracker=none
	$(DOOR)train experiment=lora_recipe lora.rank=4 lora.alpha=8 name=lora-r4-alpha_8 loop.num_samples=0 tracker=none
	$(DOOR)train experiment=lora_recipe lora.rank=4 lora.targets=[to_q,to_k,to_v,to_out.0] name=lora-r4-attention loop.num_samples=0 tracker=none
	$(DOOR)train experiment=lora_recipe lora.rank=4 loss.photo_probability=1 name=lora-r4-path_only loop.num_samples=0 tracker=none
	$(DOOR)evaluate experiment=lora_recipe
	$(DOOR)report notebook=lora_recipe
	@$(call digest,lora_recipe) > $@

experiments/rank_sweep/recipe.sha256: $$(call changed,rank_sweep) | $(STAMP)
	rm -rf runs/rank_sweep
	$(DOOR)train -m experiment=rank_sweep
	$(DOOR)evaluate experiment=rank_sweep eval=study
	$(DOOR)report notebook=rank_sweep
	@$(call digest,rank_sweep) > $@

experiments/palette_size/recipe.sha256: $$(call changed,palette_size) | $(STAMP)
	rm -rf runs/palette_size
	$(DOOR)train -m experiment=palette_size
	$(DOOR)evaluate experiment=palette_size eval=palettes
	$(DOOR)report notebook=palette_size
	@$(call digest,palette_size) > $@

experiments/classic_aligned/recipe.sha256: $$(call changed,classic_aligned) | $(STAMP)
	rm -rf runs/classic_aligned
	$(DOOR)train -m experiment=classic_aligned
	$(DOOR)evaluate experiment=classic_aligned eval=grids
	$(DOOR)report notebook=classic_aligned
	@$(call digest,classic_aligned) > $@

experiments/tradeoff/recipe.sha256: $$(call changed,tradeoff) | $(STAMP)
	rm -rf runs/tradeoff
	$(DOOR)train -m experiment=tradeoff
	$(DOOR)evaluate experiment=tradeoff eval=study
	$(DOOR)evaluate experiment=tradeoff eval=tradeoff
	$(DOOR)report notebook=tradeoff
	@$(call digest,tradeoff) > $@

# The packaged LoRA, as a run.
experiments/strength/recipe.sha256: $$(call changed,strength) | $(STAMP)
	rm -rf runs/strength
	mkdir -p runs/strength/lora-r8
	cp pixelpersona/assets/lora/pytorch_lora_weights.safetensors runs/strength/lora-r8/
	$(DOOR)evaluate experiment=strength eval=study
	$(DOOR)evaluate experiment=strength eval=strengths
	$(DOOR)report notebook=strength
	@$(call digest,strength) > $@

# The packaged LoRA, as a run.
experiments/sampler/recipe.sha256: $$(call changed,sampler) | $(STAMP)
	rm -rf runs/sampler
	mkdir -p runs/sampler/lora-r8
	cp pixelpersona/assets/lora/pytorch_lora_weights.safetensors runs/sampler/lora-r8/
	$(DOOR)evaluate experiment=sampler eval=study
	$(DOOR)evaluate experiment=sampler eval=samplers
	$(DOOR)report notebook=sampler
	@$(call digest,sampler) > $@

.PHONY: clean
clean:  ## remove runs, caches and what tools left behind (not .venv)
	rm -rf runs .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -print0 | xargs -0 rm -rf
