#!/bin/sh
# Cargo's RUSTC_WRAPPER: instruments for coverage what is worth steering by, on a stable toolchain.
#
# libFuzzer needs LLVM's coverage callbacks and no sanitizer. Flags in RUSTFLAGS would instrument every dependency: slower to
# build, and counters of TLS and SQLite that no target moves but every run scans. `--target` tells builds for the target from
# build scripts and macros, which must not be instrumented: nothing links libFuzzer to them.
case " $* " in
*" --target "*)
    case " $* " in
    *" --crate-name openclaw_weixin_sidecar "* | *" --crate-name ilink "* | *" --crate-name silk_decoder "* | *" --crate-name openclaw_weixin_fuzz "* | *" --crate-name serde_json "*)
        exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
            -Cllvm-args=-sanitizer-coverage-trace-compares
        ;;
    esac
    ;;
esac
exec "$@"
