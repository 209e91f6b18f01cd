# What the layers' makefiles share: what they are built for, and how modules are compiled.
#
# `sam build` runs them in the project's root. A makefile cannot see the stack's parameters, so the runtime and the
# architecture come from the environment (`make deploy` and `make up` set them), or else from the answers that a guided
# deployment saved, or else they are the template's defaults.

answers := $(firstword $(wildcard deploy.toml) samconfig.toml)
# Of the default environment alone, for a file may have several.
saved = $(shell sed -nE '/^\[default\.deploy\.parameters\]/,/^\[/s/.*[" ]$(1)=[\"]*([a-z0-9_.]+).*/\1/p' $(answers) | head -n 1)
DROPBATCH_RUNTIME ?= $(or $(call saved,Runtime),python3.13)
DROPBATCH_ARCHITECTURE ?= $(or $(call saved,Architecture),arm64)
# Lambda's, unless functions are to run where they are built.
DROPBATCH_PLATFORM ?= $(subst arm64,aarch64,$(DROPBATCH_ARCHITECTURE))-manylinux_2_28

version := $(DROPBATCH_RUNTIME:python%=%)
modules := $(ARTIFACTS_DIR)/python

# The project's own uv, or else the one on the PATH.
# (Without the semicolons a make before 4.3 looks for a program called `command`.)
UV := $(or $(shell command -v .local/uv/bin/uv;),$(shell command -v uv;),$(error uv is needed to build the layers: run `make setup`, or install uv))

# Byte code must come from the version that will run it: another one's is ignored. Any interpreter of that version that is
# on this machine will do, a pyenv's that is not switched on too; none is downloaded.
interpreter = $(shell for python in "$$(command -v python$(version))" \
	"$$($(UV) python find --no-python-downloads --no-project $(version) 2>/dev/null)" \
	"$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$(version).*/bin/python3; do \
		"$$python" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(version)")' 2>/dev/null \
			&& echo "$$python" && break; done)

# Unchecked, because zip files keep times to two seconds only, so that a check by time would refuse half of the files.
# (SAM shows what is printed here, but not what goes to standard error.)
define compile
	@python="$(interpreter)"; if [ -n "$$python" ]; then \
		"$$python" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$(modules)" -p /opt/python "$(modules)"; \
	else \
		echo "NOTE: there is no Python $(version) on this machine, so this layer ships without byte code, and the functions" \
			"start about half a second slower. To mend it: $(UV) python install $(version)"; \
	fi
endef

# Lambda allows 250 MB, unzipped, for a function with all its layers, and loads a small one faster: each has a share.
define at_most
	@size=$$(find "$(modules)" -type f -exec wc -c {} + | awk '$$2 != "total" { bytes += $$1 } END { print int(bytes / 1e6) }'); \
		if [ "$$size" -gt $(1) ]; then echo "This layer takes $$size MB; its share is $(1) MB." >&2; exit 1; fi
endef
