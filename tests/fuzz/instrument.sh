#!/bin/sh
# Called by cargo in place of rustc. What is fuzzed is compiled so that libFuzzer sees which edges are taken and what is
# compared; the other crates (the machine-code compiler above all) are not, since they would only make it slow, and since a macro
# that is loaded into the compiler cannot hold such code. All flags are stable ones, so no nightly compiler is needed; there is no
# sanitizer either, which would need one.
rustc=$1
shift
case " $* " in
*" --crate-name reprise "* | *" --crate-name upload "* | *" --crate-name plan "* | *" --crate-name values "* | *" --crate-name emitter "*)
    exec "$rustc" "$@" \
        -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
*) exec "$rustc" "$@" ;;
esac
