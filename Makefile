# Two commands do everything, all installing included: `make demo` and `make test`.
.PHONY: all help build pack demo test test-long test-spelling test-rust test-shim test-clients test-host fuzz cross deny contract bench clean

all: build

# What there is to make.
help:
	@awk '/^# /{text = text ? text " " substr($$0, 3) : substr($$0, 3)} /^[a-z][a-z -]*:/{split($$0, name, ":"); if (text && !/^\.PHONY/) printf "make %s\n    %s\n", name[1], text} !/^# /{text = ""}' $(MAKEFILE_LIST)

# The release binary.
build:
	cargo build --release --locked

# The plugin as a package for `openclaw plugins install npm-pack:…`, with this machine's binary inside; prints its path.
pack: build npm-shim/node_modules
	cd npm-shim && npm run --silent build
	node npm-shim/scripts/pack.mjs --out target/package --binary target/release/openclaw-weixin-sidecar

# The main job, on the real OpenClaw gateway: login by QR code, messages answered, everything stopped again. With the
# development build of the sidecar: it is there in a fifth of the release build's time.
demo:
	cargo build --locked
	node tests/host/demo.mjs

# Every test: formatting, lints, Rust, the shim, the contract documents, the real host, what fuzzing found.
test:
	node tests/run-all.mjs

# The long forms: a minute of fuzzing a target, a hundred kills on the real host, a gibibyte both ways, an hour of a hundred accounts.
test-long:
	node tests/run-all.mjs long

# One group of the tests.
test-spelling test-rust test-shim test-clients test-host:
	node tests/run-all.mjs $(@:test-%=%)

FUZZ_SECONDS ?= 600
# Coverage-guided fuzzing of every parser of foreign bytes: `make fuzz FUZZ_SECONDS=60`, `make fuzz TARGETS="wire login"`.
fuzz:
	FUZZ_SECONDS=$(FUZZ_SECONDS) node fuzz/run.mjs $(TARGETS)

PLATFORM ?= linux-x64
# The release binary of any platform that can be built on Debian 12: `make cross PLATFORM=linux-arm64`; prints its path.
cross:
	node npm-shim/scripts/cross.mjs $(PLATFORM)

DENY_VERSION = 0.20.2
DENY = target/tools/bin/cargo-deny
WHAT ?= bans licenses sources
# Licences and origins of what comes into the binary. Known holes too, where the database can be had: `make deny WHAT=advisories`.
deny: $(DENY)
	$(DENY) check $(WHAT)

$(DENY):
	cargo install --locked cargo-deny@$(DENY_VERSION) --root target/tools

# Writes what is generated from src/contract/ anew: documents, TypeScript types, the plugin's manifest.
contract: npm-shim/node_modules
	UPDATE_DOCUMENTS=1 cargo test --locked --test contract_documents
	cd npm-shim && npm run gen
	node plugin-manifest/generate.mjs

npm-shim/node_modules: npm-shim/package-lock.json
	cd npm-shim && npm ci --no-audit --no-fund
	touch $@

# The benchmarks, each figure beside its floor.
bench:
	cargo bench --locked

# Removes what was built, and what was fetched into target/. What the tests fetched stays in the cache.
clean:
	cargo clean
	rm -rf fuzz/target npm-shim/node_modules npm-shim/dist npm-shim/.build
