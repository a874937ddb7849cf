# Two commands do everything, all installing included: `make demo` and `make test`.
.PHONY: all help build pack demo test test-long test-spelling test-rust test-shim test-clients test-hub test-host test-versions fuzz binaries dist deny sbom oldest-rust contract bench clean

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
# development build of the sidecar: it is there in a fifth of the release build's time. `make demo FROM=packages` installs
# as from a registry, `FROM=dist` what `make dist` made.
demo:
	cargo build --locked
	node tests/host/demo.mjs $(FROM)

# Every test: formatting, lints, Rust, the shim, the contract documents, the real host, what fuzzing found.
test:
	node tests/run-all.mjs

# The long forms: a minute of fuzzing a target, a hundred kills on the real host, a gibibyte both ways, an hour of a hundred accounts.
test-long:
	node tests/run-all.mjs long

# One group of the tests.
test-spelling test-rust test-shim test-clients test-hub test-host:
	node tests/run-all.mjs $(@:test-%=%)

# The host tests with every OpenClaw that npm has from our minimum on, and the refusal of the one before: `make test-versions ONLY="quota|media"`.
test-versions:
	cargo build --locked
	node tests/host/versions.mjs $(if $(ONLY),"$(ONLY)")

FUZZ_SECONDS ?= 600
# Coverage-guided fuzzing of every parser of foreign bytes: `make fuzz FUZZ_SECONDS=60`, `make fuzz TARGETS="wire login"`.
fuzz:
	FUZZ_SECONDS=$(FUZZ_SECONDS) node fuzz/run.mjs $(TARGETS)

PLATFORM ?= linux-x64
# The release binaries of these platforms, as they are published: `make binaries PLATFORM="linux-arm64 win32-x64"`; prints their paths.
binaries:
	node npm-shim/scripts/binaries.mjs $(PLATFORM)

# A release, as far as this machine can make and test it: packages of three platforms in target/dist. On Debian 12; an hour and a half.
dist:
	node npm-shim/scripts/dist.mjs $(DIST)

DENY_VERSION = 0.20.2
DENY = target/tools/bin/cargo-deny
WHAT ?= bans licenses sources
# Licences and origins of what comes into the binary. Known holes too, where the database can be had: `make deny WHAT=advisories`.
deny: $(DENY)
	$(DENY) check $(WHAT)

CYCLONEDX_VERSION = 0.5.9
CYCLONEDX = target/tools/bin/cargo-cyclonedx
# What the binaries are made of, as CycloneDX: target/sbom/.
sbom: $(CYCLONEDX)
	mkdir -p target/sbom
	PATH="$(CURDIR)/target/tools/bin:$$PATH" SOURCE_DATE_EPOCH=0 cargo cyclonedx --format json --spec-version 1.5 --describe binaries --no-build-deps --target all
	sed 's|$(CURDIR)|.|g' openclaw-weixin-sidecar_bin.cdx.json > target/sbom/openclaw-weixin-sidecar.cdx.json
	find . -name '*.cdx.json' -not -path './target/*' -delete

$(CYCLONEDX):
	cargo install --locked cargo-cyclonedx@$(CYCLONEDX_VERSION) --root target/tools

# The oldest Rust that Cargo.toml promises, fetched by rustup: everything compiles.
oldest-rust:
	version=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) && rustup toolchain install --profile minimal "$$version" && cargo +"$$version" check --locked --workspace --all-targets

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
