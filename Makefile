# Every command of the project. What they need is installed on first use, into the project's own folders.

SAM := .local/sam/bin/sam
BIN := .venv/bin

export SAM_CLI_TELEMETRY := 0

# A shell that has read .local/stack.env, or that holds somebody's key, must not lead tests astray.
ISOLATED := env -u PYTHONDONTWRITEBYTECODE -u AWS_ENDPOINT_URL -u AWS_PROFILE -u OPENAI_BASE_URL -u OPENAI_API_KEY AWS_DEFAULT_REGION=us-east-1

.DEFAULT_GOAL := help
.PHONY: help setup demo format architecture pictures test test-fast test-slow-paths check check-python check-template bench growth peers costs quotes simulation scale soak up tick down deploy undeploy

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name what; do \
		printf '  make %-15s %s\n' "$$name" "$$what"; done

setup: ## Install all that is needed into .venv and .local; repairs it, too
	@sh local/setup.sh

demo: setup ## Answer 3,000 reviews on this machine, and show what came back
	@$(BIN)/python -m local.demo

format: setup ## Format the code, and fix what ruff can fix
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

architecture: setup ## Write the generated parts of docs/architecture.md
	@PYTHONPATH=layers/core $(BIN)/python -m local.architecture

pictures: setup ## Take the pictures of the report for docs/pictures
	@PYTHONPATH=layers/core:. $(ISOLATED) $(BIN)/python -m tests.pages.pictures

# Two processes more than the two cores it is made for: those with the end-to-end tests mostly wait.
test: check ## Run everything: the checks, and all tests, end to end too
	@sh local/setup.sh tests
	@$(ISOLATED) $(BIN)/pytest -q -n 4 -rs --durations=10

test-fast: setup ## Run the unit, contract and scenario tests that are not slow: for every save
	@$(ISOLATED) $(BIN)/pytest -q -n 2 --dist worksteal -m "not slow" $(wildcard tests/unit tests/contract tests/scenarios)

test-slow-paths: setup ## Run the unit and scenario tests that are not slow, with all fast paths switched off
	@DROPBATCH_FAST=0 $(ISOLATED) $(BIN)/pytest -q -n 2 --dist worksteal -m "not slow" tests/unit tests/scenarios

check: setup ## Check format, lint, English, types and the template
	@$(MAKE) --no-print-directory -j2 check-python check-template

check-python:
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/python tools/english.py
	@$(BIN)/mypy
	@$(BIN)/mypy local benchmarks tools functions/submit functions/poll functions/collect
	@imports=$$(PYTHONPATH=layers/core $(BIN)/lint-imports --no-cache --no-logo) || { echo "$$imports"; exit 1; }

check-template:
	@$(BIN)/cfn-lint template.yaml
	@$(ISOLATED) $(SAM) validate --lint

bench: setup ## Measure how fast it is, into benchmarks/latest.json (FIGURES="building" for some)
	@PYTHONPATH=layers/core $(BIN)/python -m benchmarks $(FIGURES)

growth: setup ## Measure how time and memory grow, for docs/scale.md (ONLY="rows jobs" for some, SIZES=3 for the smallest sizes)
	@PYTHONPATH=layers/core SIZES=$(SIZES) $(BIN)/python -m benchmarks.growth $(ONLY)

peers: setup ## Compare the speed with other packages, into benchmarks/latest.json; installs them apart
	@PYTHONPATH=layers/core $(BIN)/python -m tools.capacity.peers

costs: setup ## Print the tables of docs/scale.md: the calls and the cost of a day, and the quotas
	@PYTHONPATH=layers/core $(BIN)/python -m benchmarks.costs

quotes: setup ## Write the table of docs/costs.md: quotes of all examples against what they come to
	@PYTHONPATH=layers/core $(BIN)/python -m tools.capacity.quotes

simulation: setup ## Simulate a day of a busy account (DROPS=1000 for fewer)
	@PYTHONPATH=layers/core $(BIN)/python -m tools.capacity.simulation $(DROPS)

scale: setup ## Take ten million rows through a day of batches on this machine (ROWS=200000 for fewer)
	@PYTHONPATH=layers/core $(BIN)/python -m tools.capacity.ten_million

soak: setup ## Live through a month of faults in simulated time (HOURS=1 at most, SEED=2 for others)
	@PYTHONPATH=layers/core $(BIN)/python -m tools.capacity.soak $(or $(HOURS),1) $(or $(SEED),1)

up: setup ## Start the embedded stack and deploy to it (AWS_PORT, OPENAI_PORT, PARAMETERS="AbsenceConfirmationSeconds=2 ...")
	@$(BIN)/python -m local.stack up

tick: setup ## Poll now, rather than within a minute
	@$(BIN)/python -m local.stack tick

down: setup ## Stop the embedded stack; what it holds is kept
	@$(BIN)/python -m local.stack down

# Answers are saved in deploy.toml, which is yours: it is not tracked, for it holds mail addresses. What is given here is
# saved first, because a build cannot see what is answered later.
# A parameter that has another name since an older release keeps its saved answer. That of one that is gone is removed.
rename = sed -i.bak -E 's/([" ])$(1)=/\1$(2)=/' deploy.toml && rm -f deploy.toml.bak
remove = sed -i.bak -E 's/([" ])$(1)=\\"[^"\]*\\" ?/\1/' deploy.toml && rm -f deploy.toml.bak
save = $(if $(2),sed -i.bak -E 's/([" ]$(1)=\\")[^"\\]*/\1$(2)/' deploy.toml && rm -f deploy.toml.bak)
given = $(if $(RUNTIME),Runtime=$(RUNTIME)) $(if $(ARCHITECTURE),Architecture=$(ARCHITECTURE)) $(if $(PARQUET),Parquet=$(PARQUET))

deploy: setup ## Deploy to your AWS account (RUNTIME=python3.12, ARCHITECTURE=x86_64, PARQUET=enabled; ASK=no for no questions)
	@if [ -n "$$AWS_ENDPOINT_URL" ]; then \
		echo "AWS_ENDPOINT_URL leads this shell to the embedded AWS: deploy from another shell." >&2; exit 1; fi
	@[ -f deploy.toml ] || cp samconfig.toml deploy.toml
	@$(call rename,SettleSeconds,AbsenceConfirmationSeconds)
	@$(call remove,HoldAboveRows)
	@$(call save,Runtime,$(RUNTIME))
	@$(call save,Architecture,$(ARCHITECTURE))
	@$(call save,Parquet,$(PARQUET))
	$(if $(RUNTIME),DROPBATCH_RUNTIME=$(RUNTIME)) $(if $(ARCHITECTURE),DROPBATCH_ARCHITECTURE=$(ARCHITECTURE)) \
		$(if $(PARQUET),DROPBATCH_PARQUET=$(PARQUET)) $(SAM) build
	@# Parameters on the command line would hide all that are saved.
	$(SAM) deploy --config-file "$(CURDIR)/deploy.toml" \
		$(if $(filter no,$(ASK)),--no-confirm-changeset --no-fail-on-empty-changeset,--guided) \
		$(if $(strip $(given)),$$(grep -q '^parameter_overrides' deploy.toml || echo --parameter-overrides $(given)))

undeploy: setup ## Delete a stack from your AWS account, unless jobs are open (STACK=dropbatch)
	@$(BIN)/python -m local.undeploy "$(STACK)"
